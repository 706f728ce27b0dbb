#!/usr/bin/env python3
"""Kills a query that reads Kafka with SIGKILL again and again, at random moments, while records come.

    kafka_kills.py [--kills 100] [--seed S]      with a broker of its own

Between the records lie those of transactions that are aborted. In the end every record must be out, once and in order,
and none of an aborted transaction.
"""

import argparse
import contextlib
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1] / "services"), str(HERE.parent), str(HERE)]

from confluent_kafka import Producer  # noqa: E402
from confluent_kafka.admin import AdminClient, NewTopic  # noqa: E402
from harness import stop  # noqa: E402
from kinds.kafka import broker as started  # noqa: E402
from reading import Reading  # noqa: E402
from sequences import Sequences  # noqa: E402

PARTITIONS = 4
ANSWER_SECONDS = 60
LIFE_SECONDS_MAX = 1.5
TORN = "torn"


class Feeding:
    """Writes numbered records to all partitions, and now and then a transaction that is aborted, until it is closed."""

    def __init__(self, brokers: str, topic: str, settings: dict[str, str] | None = None) -> None:
        settings = {"bootstrap.servers": brokers, "acks": "all", "log_level": 2} | (settings or {})
        self.topic = topic
        self.sequences = Sequences()
        self.torn = 0
        self.enough = threading.Event()
        self.producer = Producer({**settings, "linger.ms": 1, "enable.idempotence": True})
        self.tearing = Producer({**settings, "transactional.id": f"{TORN}-{topic}"})
        self.threads = [threading.Thread(target=work, daemon=True) for work in (self.feed, self.tear)]
        for thread in self.threads:
            thread.start()

    def feed(self) -> None:
        """A record for each partition, again and again."""
        while not self.enough.wait(0.01):
            for partition in range(PARTITIONS):
                self.producer.produce(self.topic, self.sequences.next(partition), partition=partition)
            self.producer.poll(0)

    def tear(self) -> None:
        """Transactions that are aborted."""
        self.tearing.init_transactions(ANSWER_SECONDS)
        while not self.enough.wait(0.3):
            self.tearing.begin_transaction()
            for partition in range(PARTITIONS):
                self.tearing.produce(self.topic, TORN, partition=partition)
            self.tearing.flush(ANSWER_SECONDS)
            self.tearing.abort_transaction(ANSWER_SECONDS)
            self.torn += PARTITIONS

    def close(self) -> Sequences:
        """Ends it; all that was written is on the broker."""
        self.enough.set()
        for thread in self.threads:
            thread.join()
        if self.producer.flush(ANSWER_SECONDS):
            raise AssertionError("the broker did not take the input")
        return self.sequences


def killed(reading: Reading, feeding: Feeding, kills: int, seed: int) -> None:
    """Kills the query so often; then it runs to its end, and what came out is compared."""
    dice = random.Random(seed)
    for done in range(kills):
        process = reading.start()
        # from the first moments of a start to a few hundred epochs
        time.sleep(dice.uniform(0.0, LIFE_SECONDS_MAX) ** 1.5)
        process.send_signal(signal.SIGKILL)
        _, told = process.communicate()
        if process.returncode != -signal.SIGKILL:
            raise AssertionError(f"seed {seed}, after {done} kills: ended with {process.returncode}\n{told}")
    sequences = feeding.close()
    reading.run()
    wrong = sequences.wrong(reading.values())
    assert not wrong, f"seed {seed}, {kills} kills: {wrong}"
    assert feeding.torn, "no transaction was aborted"


def main() -> None:
    """The long form."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    asked = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="tidemill-kills-"))
    with contextlib.ExitStack() as cleanup:
        node = started(folder / "broker")
        cleanup.callback(lambda: stop(node.process))
        admin = AdminClient({"bootstrap.servers": node.address})
        admin.create_topics([NewTopic("killed", PARTITIONS, 1)])["killed"].result(ANSWER_SECONDS)
        feeding = Feeding(node.address, "killed")
        options = {"bootstrap_servers": node.address, "topic": "killed", "startingOffsets": "earliest"}
        reading = Reading(folder / "killed", options)
        killed(reading, feeding, asked.kills, asked.seed)
        print(
            f"{asked.kills} kills, seed {asked.seed}: {feeding.sequences.total()} records out once and in order, "
            f"{len(reading.epochs())} epochs, {feeding.torn} records of aborted transactions left out"
        )
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
