#!/usr/bin/env python3
"""Cuts the power, on paper: a run is recorded with strace, and replayed up to a moment onto a disk that has lost whatever
was not synced. The program must recover from every such disk with each row once.

    power_cut.py --program PATH [--images 400] [--pipeline files-delta|log-files] [--state memory|rocksdb]
    power_cut.py --program PATH --short

A kill never shows this: the operating system keeps what was written. At every moment that is looked at there are two
images, one that has only what was synced, and one with a random part of the rest. Then fsyncs are taken
out of the trace by their path, as if the program had forgotten them: recovery must fail now, or this would show nothing.
"""

import argparse
import contextlib
import copy
import random
import re
import shutil
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "kill"), str(HERE.parent / "services")]

from cycle import Program  # noqa: E402
from disk import TRACED, Disk  # noqa: E402
from life import Failed  # noqa: E402
from pipelines import opened  # noqa: E402
from strace import calls  # noqa: E402
from validator import compare  # noqa: E402

SECONDS_MAX = 60.0
SNAPSHOTS = "snapshot_bytes=2048"
PIPELINES = ("files-delta", "log-files")
STATES = ("memory", "rocksdb")
# whose fsyncs are forgotten in turn, and where such a path is
PLANTED = {
    "files-delta": {
        "the journal": r"/journal/",
        "data files": r"loop/results/.*\.parquet",
        "the log": r"_delta_log",
    },
    "log-files": {"the journal": r"/journal/", "data files": r"loop/results/.*\.parquet", "segments": r"loop/log/"},
}
SHORT_IMAGES = 24
PLANTED_IMAGES = 60


class Recording:
    """A pipeline that ran once, undisturbed and traced."""

    def __init__(self, name: str, state: str, program: Path, folder: Path, seed: int) -> None:
        self.folder, self.program, self.state = folder, program, state
        self.pipeline = opened(name, folder, seed, contextlib.ExitStack())
        life = Program(program, folder, [SNAPSHOTS, f"state_backend={state}"], self.pipeline.feed)
        trace = [
            "strace",
            "-A",
            "-f",
            "-y",
            "-xx",
            "-s",
            str(1 << 24),
            "-o",
            str(folder / "trace"),
            "-e",
            f"trace={TRACED}",
        ]
        life.command[:0] = trace
        for _ in range(self.pipeline.last_runs):
            life.finish(SECONDS_MAX * 2)
        self.calls = list(calls((folder / "trace").read_text(encoding="ascii", errors="replace")))
        self.compared(self.pipeline, "the recorded run itself")

    def images(self, count: int, dice: random.Random, forgets: re.Pattern | None = None):
        """Disks at moments of the run, spread over it: each a folder, and what it is."""
        changes = self.changes()
        moments = set(dice.sample(changes, min(count // 2, len(changes))))
        disk = Disk(self.folder, forgets)
        for number, call in enumerate(self.calls):
            disk.follow(call)
            if number in moments:
                for how in ("only what was synced", "a part of the rest too"):
                    with tempfile.TemporaryDirectory() as folder:
                        disk.image(Path(folder), dice if how.startswith("a part") else None)
                        yield Path(folder), f"after call {number} ({call.name}), {how}"

    def changes(self) -> list[int]:
        """The calls after which the disk may be another."""
        disk = Disk(self.folder)
        return [number for number, call in enumerate(self.calls) if disk.follow(call)]

    def recovers(self, image: Path, what: str) -> None:
        """Starts the program on an image; each row must be there once."""
        shutil.copytree(self.folder / "in", image / "in", dirs_exist_ok=True)
        shutil.copy(self.folder / "loop.sql", image)
        pipeline = copy.copy(self.pipeline)
        pipeline.folder = image
        pipeline.checkpoint = image / self.pipeline.checkpoint.relative_to(self.folder)
        life = Program(self.program, image, [SNAPSHOTS, f"state_backend={self.state}"], pipeline.feed)
        try:
            for _ in range(pipeline.last_runs):
                life.finish(SECONDS_MAX)
        except Failed as failed:
            raise Failed(f"{what}: {failed}") from None
        self.compared(pipeline, what)

    def compared(self, pipeline, what: str) -> None:
        """The oracle's rows and dead letters are there, each once."""
        wrong = compare(pipeline.oracle.rows(), pipeline.results("loop"))
        wrong += compare(pipeline.oracle.bad, pipeline.letters("loop"))
        if wrong:
            raise Failed(f"{what}: " + "\n".join(wrong))


def check(name: str, state: str, program: Path, images: int, seed: int) -> int:
    """One pipeline; 0 when it recovers from all images, and does not when fsyncs are forgotten."""
    failed = 0
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        recording = Recording(name, state, program, Path(folder).resolve(), seed)
        count = 0
        for image, what in recording.images(images, random.Random(seed)):
            count += 1
            try:
                recording.recovers(image, what)
            except Failed as wrong:
                failed += 1
                kept = Path(tempfile.mkdtemp(prefix="tidemill-power-cut-"))
                shutil.copytree(image, kept, dirs_exist_ok=True)
                print(f"FAILED {name}/{state}: {wrong}\n    kept in {kept}", flush=True)
        took = time.monotonic() - begun
        print(
            f"{name}/{state}: {len(recording.changes())} moments, {count} images, {failed} wrong, {took:.0f} s",
            flush=True,
        )
        for planted, path in PLANTED[name].items() if state == "memory" else ():
            if (at := noticed(recording, re.compile(path), seed)) is None:
                failed += 1
                print(f"FAILED {name}: without the fsyncs of {planted} nothing is noticed")
            else:
                print(f"{name}: without the fsyncs of {planted}: noticed at image {at}", flush=True)
    return failed


def noticed(recording: Recording, forgets: re.Pattern, seed: int) -> int | None:
    """The first image from which the program does not recover when some fsyncs were not made."""
    for number, (image, what) in enumerate(recording.images(PLANTED_IMAGES, random.Random(seed), forgets)):
        try:
            recording.recovers(image, what)
        except (Failed, OSError, ValueError):
            return number
    return None


def main() -> int:
    """Runs what was asked for; 0 when all of it held."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", type=Path, required=True)
    parser.add_argument("--pipeline", choices=PIPELINES, action="append")
    parser.add_argument("--state", choices=STATES, action="append")
    parser.add_argument("--images", type=int, default=400, help="of each pipeline and state backend")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--short", action="store_true", help="a few images")
    asked = parser.parse_args()
    images = SHORT_IMAGES if asked.short else asked.images
    failed = 0
    for name in asked.pipeline or PIPELINES:
        for state in asked.state or STATES:
            failed += check(name, state, asked.program.resolve(), images, asked.seed)
    print("0 failed" if not failed else f"{failed} failed")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
