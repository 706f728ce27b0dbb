#!/usr/bin/env python3
"""Breaks the program at every step of an epoch, for every sink and state backend, and counts what is lost.

    campaign.py --program PATH [--cycles 2000] [--sinks delta,files,..] [--ledger docs/campaign/ledger.jsonl]
    campaign.py --program PATH --short            200 cycles, nothing is kept

The program must be a debug build: a release build takes no faults. A campaign goes on where its ledger ends.
A failure names the block's seed and keeps its folder.
"""

import argparse
import contextlib
import hashlib
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "kill"), str(HERE.parent / "services")]

import plans  # noqa: E402
import summary  # noqa: E402
from cells import PIPELINES, Cell, cells  # noqa: E402
from cycle import Program  # noqa: E402
from ledger import Ledger  # noqa: E402
from life import Failed  # noqa: E402
from pipelines import opened  # noqa: E402
from validator import compare  # noqa: E402
from visible import Visible  # noqa: E402

BLOCK_CYCLES = 50
FINISH_SECONDS_MAX = 120.0
# a portion is an epoch: a fault at its third hit needs a few
PORTIONS_A_CYCLE = 2
# share of the planned faults that may not come, because the program had nothing left to do
MISSED_MAX = 0.02
# of a step in a cell, for a thousand cycles of that cell
HITS_PER_THOUSAND = 20


class Block:
    """Some cycles on one checkpoint, and the comparison at their end."""

    def __init__(self, number: int, cell: Cell, seed: int, folder: Path, program: Path, cleanup) -> None:
        self.number, self.cell, self.seed = number, cell, seed
        self.dice = random.Random(seed)
        self.pipeline = opened(cell.pipeline, folder, seed, cleanup)
        kill_server = getattr(self.pipeline, "kill_server", None)
        self.program = Program(program, folder, [f"state_backend={cell.state}"], self.pipeline.feed, kill_server)
        self.visible = Visible()
        self.cycles: list[dict] = []
        self.rows = self.kept = self.lost = self.over = 0

    def run(self, count: int, hits: Counter[str]) -> None:
        """The cycles."""
        for number in range(count):
            for _ in range(PORTIONS_A_CYCLE):
                self.pipeline.feed()
            plan = plans.draw(self.dice, hits, self.program.kill_server is not None)
            outcome = self.program.run(plan, self.cell.query, self.dice)
            if plan.step:
                hits[plan.step] += outcome.fired
            self.cycles.append(
                {
                    "block": self.number,
                    "cycle": number,
                    "cell": self.cell.name,
                    "kind": plan.kind,
                    "step": plan.step,
                    "hit": plan.hit,
                    "later": plan.later,
                    "lives": plan.times,
                    "fired": outcome.fired,
                    "code": outcome.code,
                    "ms": round(outcome.took * 1000),
                }
            )
            self.look()

    def look(self) -> None:
        """What a reader sees right now. A Kafka reader of committed records waits for open transactions, so not there."""
        if self.cell.sink != "kafka" and self.started():
            if wrong := self.visible.look(self.pipeline.oracle.rows(), self.pipeline.results("loop")):
                raise Failed("right after the kill:\n" + "\n".join(wrong))

    def started(self) -> bool:
        """True when the sink's table is there."""
        if self.cell.sink in ("postgres", "redis"):
            return True
        loop = self.program.folder / "loop"
        return any(loop.glob("results/_delta_log/*.json")) or any(loop.glob("results/_tidemill/log/*.json"))

    def finish(self) -> None:
        """Runs the rest undisturbed and compares."""
        for _ in range(self.pipeline.last_runs):
            self.program.finish(FINISH_SECONDS_MAX)
        expected, seen = self.pipeline.oracle.rows(), self.pipeline.results("loop")
        letters, kept = self.pipeline.oracle.bad, self.pipeline.letters("loop")
        self.lost = (expected - seen).total() + (letters - kept).total()
        self.over = (seen - expected).total() + (kept - letters).total()
        self.rows, self.kept = expected.total(), letters.total()
        if wrong := compare(expected, seen) + compare(letters, kept):
            raise Failed("at the end:\n" + "\n".join(wrong))

    def told(self, build: str, result: str) -> dict:
        """The block's line for the ledger."""
        return {
            "block": self.number,
            "cell": self.cell.name,
            "seed": self.seed,
            "build": build,
            "cycles": len(self.cycles),
            "rows": self.rows,
            "letters": self.kept,
            "looks": self.visible.looks,
            "lost": self.lost,
            "doubled": self.over,
            "result": result,
        }


class Campaign:
    """Blocks, one cell after the other, until there are enough cycles."""

    def __init__(self, asked: argparse.Namespace, ledger: Ledger) -> None:
        self.asked, self.ledger = asked, ledger
        self.cells = cells(asked.sinks)
        self.build = build(asked.program)
        self.hits = {cell.name: ledger.hits(cell.name) for cell in self.cells}

    def run(self) -> None:
        """What is still to be done."""
        done = len(self.ledger.cycles)
        deadline = time.monotonic() + self.asked.seconds_max
        while done < self.asked.cycles and time.monotonic() < deadline:
            least = min(self.cells, key=lambda cell: sum(one["cell"] == cell.name for one in self.ledger.cycles))
            done += self.block(least, min(self.asked.block, self.asked.cycles - done))

    def block(self, cell: Cell, count: int) -> int:
        """One block; gives its cycles."""
        number = len(self.ledger.blocks)
        seed = random.Random(f"{self.asked.seed}/{number}").randrange(1 << 32)
        folder = Path(tempfile.mkdtemp(prefix=f"tidemill-campaign-{cell.sink}-"))
        begun = time.monotonic()
        block = None
        try:
            with contextlib.ExitStack() as cleanup:
                block = Block(number, cell, seed, folder, self.asked.program, cleanup)
                block.run(count, self.hits[cell.name])
                block.finish()
        except Failed as failed:
            at = len(block.cycles) if block else 0
            last = block.cycles[-1] if at else {}
            if block:
                # a campaign that goes on must not forget it
                self.ledger.add(block.told(self.build, str(failed).splitlines()[0]), block.cycles)
            raise Failed(
                f"block {number} ({cell.name}, seed {seed}) after {at} cycles, kept in {folder}\n{last}\n{failed}"
            ) from failed
        self.ledger.add(block.told(self.build, "passed"), block.cycles)
        shutil.rmtree(folder)
        took = time.monotonic() - begun
        print(f"block {number}: {cell.name}, {count} cycles, {block.rows} rows, {took:.0f} s", flush=True)
        return count

    def check_reach(self) -> None:
        """A fault that never came has tested nothing."""
        planned = [cycle for cycle in self.ledger.cycles if cycle["step"]]
        missed = [cycle for cycle in planned if not cycle["fired"]]
        if len(missed) > MISSED_MAX * len(planned):
            raise Failed(f"{len(missed)} of {len(planned)} faults never came, such as {missed[:3]}")
        for cell in self.cells:
            cycles = sum(cycle["cell"] == cell.name for cycle in self.ledger.cycles)
            wanted = HITS_PER_THOUSAND * cycles // 1000
            lacking = [step for step in plans.STEPS if self.hits[cell.name][step] < wanted]
            if lacking:
                raise Failed(f"{cell.name}: fewer than {wanted} hits of {', '.join(lacking)}")


def build(program: Path) -> str:
    """Which program: the beginning of its SHA-256."""
    with program.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:12]


def main(arguments: list[str]) -> int:
    """Runs what was asked for; 0 when all of it held."""
    asked = parse(arguments)
    with contextlib.ExitStack() as cleanup:
        if asked.short:
            asked.ledger = Path(cleanup.enter_context(tempfile.TemporaryDirectory())) / "ledger.jsonl"
        ledger = Ledger(asked.ledger)
        campaign = Campaign(asked, ledger)
        try:
            campaign.run()
            campaign.check_reach()
        except Failed as failed:
            print(f"FAILED: {failed}")
            return 1
        if not asked.short:
            sinks = [sink for sink, *_ in PIPELINES if any(c["cell"].startswith(f"{sink}/") for c in ledger.cycles)]
            (asked.ledger.parent / "README.md").write_text(summary.page(ledger, sinks), encoding="utf-8")
        lost, doubled = (sum(block[what] for block in ledger.blocks) for what in ("lost", "doubled"))
        print(f"{len(ledger.cycles)} cycles, {ledger.kills()} kills: {lost} lost, {doubled} doubled")
    return 0


def parse(arguments: list[str]) -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", type=Path, required=True, help="a debug build of the tidemill program")
    parser.add_argument("--cycles", type=int, default=2000, help="cycles that the ledger is to hold in the end")
    parser.add_argument("--block", type=int, default=BLOCK_CYCLES, help="cycles on one checkpoint")
    parser.add_argument("--sinks", default="delta,files,log,postgres,redis", help="of these and kafka")
    parser.add_argument("--ledger", type=Path, default=HERE.parent.parent / "docs" / "campaign" / "ledger.jsonl")
    parser.add_argument("--seed", type=int, default=1, help="replays a campaign's input and plans")
    parser.add_argument("--seconds-max", type=float, default=7200.0, help="stops after the block that reaches it")
    parser.add_argument("--short", action="store_true", help="200 cycles; nothing is kept")
    asked = parser.parse_args(arguments)
    asked.program = asked.program.resolve()
    asked.sinks = asked.sinks.split(",")
    if asked.short:
        asked.cycles, asked.block = 200, 34
    return asked


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
