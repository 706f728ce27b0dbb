#!/usr/bin/env python3
"""Kills a running pipeline with SIGKILL again and again, and compares what came out.

    kill.py --program PATH [--rounds 200] [--pipeline files-delta|log-files|files-redis|files-postgres|kafka-kafka|all] [--seed S]
    kill.py --program PATH --short        a few rounds of each, for every test run

Input comes while the program runs; it is killed at moments that are aimed at (aims.py), started again
with another parallelism, and in the end runs undisturbed over what is left. Its rows must be those that
the oracle (events.py) computes from the input, and those of a run that was never killed; malformed
records must be kept once each. Only a kill that ended a running process counts as a round. A failure
names the seed, the round and the folder, which is kept.
"""

import argparse
import contextlib
import random
import shutil
import statistics
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "services")]

import aims  # noqa: E402
import checkpoint  # noqa: E402
from life import Ended, Failed, Life, watched  # noqa: E402
from pipelines import opened  # noqa: E402
from validator import compare, premature  # noqa: E402
from watch import Watch  # noqa: E402

SHORT_ROUNDS = {"files-delta": 12, "log-files": 6, "files-redis": 6, "files-postgres": 6, "kafka-kafka": 5}
PROGRESS_ROUNDS = 20
WARM_UP_REPORTS = 12
END_SECONDS_MAX = 300.0
PARALLELISM = (1, 2, 4)
SEGMENTS_MAX = 80
TRIGGER = ("--trigger", "processing-time 5ms")


class Loop:
    """The rounds of one pipeline."""

    def __init__(self, pipeline, program: Path, folder: Path, seed: int) -> None:
        self.pipeline = pipeline
        self.program = program
        self.folder = folder
        self.dice = random.Random(seed)
        self.kills = 0
        self.aimed: Counter[str] = Counter()
        self.missed: Counter[str] = Counter()
        self.situations: Counter[str] = Counter()
        self.snapshots: set[int] = set()
        self.from_snapshot = 0
        self.segments: set[int] = set()
        self.reports = 0

    def run(self, rounds: int, deadline: float) -> None:
        """All rounds, then the undisturbed end, then the comparison."""
        pace = self.warm_up()
        print(f"{self.pipeline.name}: starts in {pace.startup:.2f} s, an epoch takes {pace.epoch * 1000:.0f} ms")
        while self.kills < rounds:
            if time.monotonic() > deadline:
                raise Failed(f"only {self.kills} of {rounds} kills in the time there is")
            before = self.kills
            self.round(pace)
            if self.kills > before and self.kills % PROGRESS_ROUNDS == 0:
                self.check_so_far()
                print(f"{self.pipeline.name}: {self.kills} kills, {self.pipeline.fed} portions of input", flush=True)
        self.finish()

    def life(self, name: str, *options: str, watch: Watch, feed=lambda: None) -> Life:
        """Starts the program; `feed` is called when it may want more input."""
        command = [str(self.program), "run", f"{name}.sql", "--checkpoint", f"{name}.ckpt"]
        command += ["--progress", "json", "--listen", "127.0.0.1:0", *options]
        return Life(command, self.folder, watch, self.pipeline.query, feed)

    def warm_up(self) -> aims.Pace:
        """A first life, to have every directory and to learn how long things take."""
        self.pipeline.feed()
        life = self.life("loop", *TRIGGER, watch=(watch := Watch()), feed=self.pipeline.feed)
        try:
            if not life.until(lambda: len(life.reports) >= WARM_UP_REPORTS, 60.0):
                raise Failed(f"no {WARM_UP_REPORTS} epochs in 60 s\n--- its standard error\n{life.told()}")
        finally:
            life.kill()
            watch.close()
        gaps = [after - before for before, after in zip(life.reports, life.reports[1:], strict=False)]
        return aims.Pace(startup=life.reports[0] - life.begun, epoch=statistics.median(gaps))

    def round(self, pace: aims.Pace) -> None:
        """One life that ends with a kill."""
        aim = self.dice.choices(self.pipeline.aims, [aim.weight for aim in self.pipeline.aims])[0]
        directories = {name: self.pipeline.checkpoint / name for name in ("journal", "snapshots")}
        watch = watched(directories | self.pipeline.directories())
        parallelism = f"parallelism={self.dice.choice(PARALLELISM)}"
        life = self.life("loop", *TRIGGER, "--set", parallelism, watch=watch, feed=self.pipeline.feed)
        try:
            reached = aim.reach(life, self.dice, pace)
        finally:
            killed = life.kill()
            watch.close()
        self.reports += len(life.reports)
        if not killed:
            return
        self.kills += 1
        (self.aimed if reached else self.missed)[aim.name] += 1
        self.note()

    def note(self) -> None:
        """What the kill has left."""
        facts = checkpoint.read(self.pipeline.checkpoint)
        self.snapshots.update(facts.snapshots)
        self.segments.update(facts.segments)
        self.from_snapshot += bool(facts.snapshots)
        self.situations[self.pipeline.situation()] += 1

    def check_so_far(self) -> None:
        """Rows may still be to come, but none may be there twice or wrong."""
        if wrong := premature(self.pipeline.oracle.rows(), self.pipeline.results("loop")):
            raise Failed("\n".join(wrong))

    def finish(self) -> None:
        """Runs the rest undisturbed, runs all of it afresh, and compares."""
        for name in ("loop", "undisturbed") * self.pipeline.last_runs:
            life = self.life(name, "--trigger", "available-now", watch=(watch := Watch()))
            life.end(END_SECONDS_MAX)
            watch.close()
        oracle = self.pipeline.oracle
        rows = oracle.rows()
        for name, expected in (("undisturbed", rows), ("loop", rows)):
            wrong = compare(expected, self.pipeline.results(name))
            wrong += compare(oracle.bad, self.pipeline.letters(name))
            if wrong:
                what = "the killed run" if name == "loop" else "the run that was never killed"
                raise Failed(f"the output of {what} is wrong:\n" + "\n".join(wrong))
        self.tell(rows.total())

    def tell(self, rows: int) -> None:
        """What was compared, and what the rounds went through."""
        oracle = self.pipeline.oracle
        facts = checkpoint.read(self.pipeline.checkpoint)
        print(f"{self.pipeline.name}: {rows} rows and {oracle.bad.total()} dead letters equal to those of an")
        print(f"    undisturbed run and of the oracle; {oracle.late} late events were left out by all three")
        for line in self.pipeline.inspect():
            print(f"    {line}")
        print(f"    epochs reported: {self.reports}; last epoch: {facts.committed}")
        print(f"    snapshots seen: {len(self.snapshots)}; starts from a snapshot: {self.from_snapshot};")
        print(f"    journal segments seen: {len(self.segments)}, at the end: {len(facts.segments)}")
        print(f"    killed: {told(self.aimed)}")
        if self.missed:
            print(f"    the moment did not come, killed at another: {told(self.missed)}")
        print(f"    left behind: {told(self.situations)}", flush=True)

    def check_reach(self, rounds: int) -> None:
        """A campaign that never met what it is for has tested nothing."""
        lacking = [aim.name for aim in self.pipeline.aims if rounds >= 100 and not self.aimed[aim.name]]
        wanted = ("an epoch planned, in no sink", "an epoch in a sink, not committed")
        lacking += [one for one in wanted if rounds >= 100 and not self.situations[one]]
        if rounds >= 100 and not self.from_snapshot:
            lacking.append("a start from a snapshot")
        segments = len(checkpoint.read(self.pipeline.checkpoint).segments)
        if segments > SEGMENTS_MAX:
            raise Failed(f"the journal has grown to {segments} segments: old ones are not forgotten")
        if lacking:
            raise Failed(f"these never happened: {', '.join(lacking)}")


def told(counts: Counter[str]) -> str:
    """Counts in one line, the largest first."""
    return ", ".join(f"{count} {what}" for what, count in counts.most_common())


def main(arguments: list[str]) -> int:
    """Runs what was asked for; 0 when all of it held."""
    asked = parse(arguments)
    names = list(SHORT_ROUNDS) if asked.pipeline == "all" else [asked.pipeline]
    passed = failed = skipped = 0
    for name in names:
        rounds = SHORT_ROUNDS[name] if asked.short else asked.rounds
        done, whole = campaign(name, rounds, asked)
        passed += done
        failed += not whole
        skipped += 0 if whole else rounds - done
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed else 0


def campaign(name: str, rounds: int, asked: argparse.Namespace) -> tuple[int, bool]:
    """The rounds of one pipeline in a folder of their own; kills that were made, and whether all held."""
    folder = Path(tempfile.mkdtemp(prefix=f"tidemill-kill-{name}-"))
    begun = time.monotonic()
    loop = None
    with contextlib.ExitStack() as cleanup:
        try:
            loop = Loop(opened(name, folder, asked.seed, cleanup), asked.program, folder, asked.seed)
            loop.run(rounds, begun + asked.seconds_max)
            loop.check_reach(rounds)
        except Exception as error:
            shown = str(error) if isinstance(error, Failed | Ended) else traceback.format_exc()
            at = loop.kills + 1 if loop else 0
            print(f"FAILED: {name}, seed {asked.seed}, round {at}, everything is kept in {folder}\n{shown}", flush=True)
            return (loop.kills if loop else 0), False
    print(f"{name}: {loop.kills} kills in {time.monotonic() - begun:.0f} s, seed {asked.seed}", flush=True)
    if asked.keep:
        print(f"{name}: everything is kept in {folder}")
    else:
        shutil.rmtree(folder)
    return loop.kills, True


def parse(arguments: list[str]) -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", type=Path, required=True, help="the tidemill program")
    parser.add_argument("--pipeline", choices=[*SHORT_ROUNDS, "all"], default="all")
    parser.add_argument("--rounds", type=int, default=200, help="kills of each pipeline")
    parser.add_argument("--short", action="store_true", help="a few rounds of each")
    parser.add_argument("--seconds-max", type=float, default=1800.0, help="bound on the kills of one pipeline")
    parser.add_argument("--seed", type=int, default=None, help="replays a run's input and plan of kills")
    parser.add_argument("--keep", action="store_true", help="keep the folders of what passed too")
    asked = parser.parse_args(arguments)
    asked.program = asked.program.resolve()
    if asked.seed is None:
        asked.seed = random.SystemRandom().randrange(1 << 32)
    return asked


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
