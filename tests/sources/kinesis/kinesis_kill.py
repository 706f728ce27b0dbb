#!/usr/bin/env python3
"""Kills a query over Kinesis with SIGKILL at random moments, while its stream is fed, split and merged.

    kinesis_kill.py [--kills 100] [--seed S]

In the end it runs undisturbed, and every record must have come out once, and in the order of its key: from a parent before
from its children. Only a kill that ended a running process counts. A failure names the seed.
"""

import argparse
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[2] / name) for name in ("services", "kill")]

from harness import stop  # noqa: E402
from kinds.kinesalite import Server  # noqa: E402
from kinesis_streams import Feeder, Reader, Stream, check_order, numbered  # noqa: E402
from validator import compare  # noqa: E402

KEYS = 11
SHARDS_MAX = 5
START_SECONDS = 60.0
FEED_SECONDS = 0.05
RESHARD_SECONDS = 0.8


class Producer(threading.Thread):
    """Feeds a stream until it is told to stop, and splits and merges its shards."""

    def __init__(self, endpoint: str, stream: str, seed: int) -> None:
        super().__init__(daemon=True)
        self.feeder = Feeder(endpoint)
        self.stream = Stream(self.feeder, stream, 2)
        self.dice = random.Random(f"producer {seed}")
        self.rows = 0
        self.splits = self.merges = 0
        self.failure: BaseException | None = None
        self.done = threading.Event()

    def run(self) -> None:
        """Puts some records, again and again."""
        try:
            next_change = time.monotonic() + RESHARD_SECONDS
            while not self.done.wait(FEED_SECONDS):
                self.feed()
                if time.monotonic() > next_change:
                    self.reshard()
                    next_change = time.monotonic() + self.dice.uniform(0.5, 1.5) * RESHARD_SECONDS
        except BaseException as failure:  # noqa: BLE001 the main thread tells
            self.failure = failure

    def feed(self) -> None:
        """Puts some records."""
        count = self.dice.randint(1, 40)
        self.stream.rows(*numbered(KEYS, self.rows, count))
        self.rows += count

    def reshard(self) -> None:
        """Splits a shard, or merges two."""
        count = len(self.stream.open())
        if count < 2 or (count < SHARDS_MAX and self.dice.random() < 0.5):
            self.stream.split(self.dice.randrange(count))
            self.splits += 1
        else:
            self.stream.merge(self.dice.randrange(count - 1))
            self.merges += 1

    def finish(self) -> None:
        """Puts the last records."""
        self.done.set()
        self.join(START_SECONDS)
        if self.failure:
            raise self.failure
        self.feed()
        self.feeder.__exit__()


def campaign(folder: Path, kills: int, seed: int) -> str:
    """The kills and the comparison; tells what was done, and raises at what is wrong."""
    dice = random.Random(f"kills {seed}")
    (folder / "server").mkdir()
    server = Server(folder / "server")
    try:
        producer = Producer(server.endpoint, "kills", seed)
        head = "SET snapshot_bytes = 16KiB;"
        reader = Reader(folder / "query", server.endpoint, "kills", head=head, max_records_per_trigger=50)
        producer.start()
        done = lives = 0
        while done < kills:
            lives += 1
            assert lives < 3 * kills + 20, f"only {done} kills in {lives} lives"
            done += life(reader, dice)
            if producer.failure:
                raise producer.failure
        producer.finish()
        reader.run()
        reader.run()
    finally:
        stop(server.process)
    rows = reader.read()
    wanted = Counter((row["key"], row["seq"]) for row in numbered(KEYS, 0, producer.rows))
    wrong = compare(wanted, Counter((row["key"], row["seq"]) for row in rows))
    assert not wrong, f"seed {seed}: " + "\n".join(wrong)
    check_order(reader)
    epochs = len(reader.epochs())
    changes = f"{producer.splits} splits and {producer.merges} merges"
    assert producer.splits and producer.merges, "no shard was split or merged"
    return f"{done} kills, {changes}, {len(rows)} records in {epochs} epochs: each once, and in order"


def life(reader: Reader, dice: random.Random) -> bool:
    """One life; true when the kill ended it."""
    process = reader.start("--trigger", "processing-time 5ms", "--set", f"parallelism={dice.choice((1, 2))}")
    if dice.random() < 0.8:
        published = reader.folder / "out" / "_tidemill" / "log"
        before = len(list(published.glob("*.json")))
        wanted = before + dice.randint(1, 4)
        deadline = time.monotonic() + START_SECONDS
        while len(list(published.glob("*.json"))) < wanted and process.poll() is None:
            assert time.monotonic() < deadline, "no epoch came"
            time.sleep(0.002)
        time.sleep(dice.uniform(0, 0.05))
    else:
        # before or while it opens
        time.sleep(dice.uniform(0, 0.5))
    process.kill()
    _, told = process.communicate()
    assert process.returncode == -9, f"the query ended by itself with code {process.returncode}\n{told}"
    return True


def main() -> int:
    """Runs what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=None, help="replays the plan of kills")
    asked = parser.parse_args()
    seed = random.SystemRandom().randrange(1 << 32) if asked.seed is None else asked.seed
    folder = Path(tempfile.mkdtemp(prefix="tidemill-kinesis-kill-"))
    try:
        print(campaign(folder, asked.kills, seed), f"(seed {seed})")
    except (AssertionError, subprocess.SubprocessError) as failure:
        print(f"FAILED, seed {seed}, everything is kept in {folder}\n{failure}")
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
