#!/usr/bin/env python3
"""Runs the fault matrix: every file in scenarios/ is one fault, and what must come of it.

    matrix.py --program PATH [--only M17]

Each begins with a pipeline that was killed in the middle of its work. A scenario does one thing to it (`fault`),
starts it, and compares: the exit code must be one of `codes`, what it says must hold `says`, and a run that ends
well must have the oracle's rows. A start that was refused must have written nothing; with the fault taken away
again the pipeline must end well. A fault that was not active fails the scenario.

    {"strace": "fdatasync:error=EIO:when=3"}           system calls that fail; strace says that they did
                                                       (`"at": "journal"`: only those on the journal)
    {"flip" | "truncate" | "delete": "journal/*.log"}  the newest such file of the checkpoint is damaged
    {"swap": "journal/*.log"}                          the newest two change places
    {"checkpoint": "removed" | "copied"}               it is gone; or a copy has run further than it
"""

import argparse
import json
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "kill")]

from cycle import Program  # noqa: E402
from files_delta import FilesDelta  # noqa: E402
from life import Failed  # noqa: E402
from validator import compare  # noqa: E402

SECONDS_MAX = 60.0
SNAPSHOTS = "snapshot_bytes=1024"


class Scenario:
    """One fault, in a folder of its own."""

    def __init__(self, wanted: dict, program: Path, folder: Path) -> None:
        self.wanted, self.folder = wanted, folder
        self.pipeline = FilesDelta(folder, seed=7)
        self.program = Program(program, folder, [SNAPSHOTS], self.pipeline.feed)
        self.checkpoint = self.pipeline.checkpoint
        self.kept = folder / "kept"

    def run(self) -> str:
        """Runs it; gives what came of it, in a few words."""
        life = self.program.start("--trigger", "processing-time 2ms", "--fault", "sink-committed:24:kill")
        if life.wait(SECONDS_MAX) != -9:
            raise Failed(f"the pipeline was not killed at its step\n{self.program.told()}")
        shutil.copytree(self.checkpoint, self.kept)
        for _ in range(3):
            self.pipeline.feed()
        (kind, what), *_ = self.wanted["fault"].items()
        if kind == "strace":
            code = self.injected(what)
        else:
            self.damage(kind, what)
            before = self.pipeline.results("loop")
            code = self.start()
        if code not in self.wanted["codes"]:
            raise Failed(f"ended with code {code}, not one of {self.wanted['codes']}\n{self.program.told()}")
        if code == 0:
            return self.compared("code 0, all rows")
        told = self.program.told()
        for word in self.wanted.get("says", []):
            if word not in told:
                raise Failed(f"its error does not say '{word}':\n{told}")
        if kind != "strace":
            if self.pipeline.results("loop") != before:
                raise Failed("a start that was refused has written rows")
            self.restore()
        self.program.finish(SECONDS_MAX)
        return self.compared(f"code {code}, then all rows")

    def compared(self, what: str) -> str:
        """The oracle's rows are there."""
        wrong = compare(self.pipeline.oracle.rows(), self.pipeline.results("loop"))
        wrong += compare(self.pipeline.oracle.bad, self.pipeline.letters("loop"))
        if wrong:
            raise Failed("\n".join(wrong))
        return what

    def injected(self, call: str) -> int:
        """A run in which a system call fails; its code."""
        trace = ["strace", "-f", "-qq", "-o", str(self.folder / "trace"), "-e", f"inject={call}"]
        trace += ["-e", f"trace={call.split(':')[0]}"]
        if self.wanted.get("at") == "journal":
            newest = max(int(file.stem) for file in self.checkpoint.glob("journal/*.log"))
            trace += ["-P", str(self.checkpoint.resolve() / "journal" / f"{newest + 1:020}.log")]
        self.program.command[:0] = trace
        try:
            code = self.program.start("--trigger", "available-now").wait(SECONDS_MAX)
        except subprocess.TimeoutExpired:
            raise Failed("the program hangs when a system call fails") from None
        finally:
            del self.program.command[: len(trace)]
        if "(INJECTED)" not in (self.folder / "trace").read_text(encoding="utf-8", errors="replace"):
            raise Failed("no system call was made to fail")
        return code

    def damage(self, kind: str, what: str) -> None:
        """Does something to the checkpoint; what is kept is what to go on with afterwards."""
        if kind == "checkpoint":
            old = self.kept
            if what == "copied":
                self.program.finish(SECONDS_MAX)
                self.kept = self.folder / "ahead"
                self.checkpoint.rename(self.kept)
                shutil.copytree(old, self.checkpoint)
            else:
                shutil.rmtree(self.checkpoint)
            return
        files = sorted(file for file in self.checkpoint.glob(what) if file.stat().st_size > 8)
        if len(files) < (2 if kind == "swap" else 1):
            raise Failed(f"there is no {what} to damage")
        DAMAGES[kind](files)

    def start(self) -> int:
        """A start; its code."""
        try:
            return self.program.start("--trigger", "available-now").wait(SECONDS_MAX)
        except subprocess.TimeoutExpired:
            raise Failed("the program hangs on a damaged checkpoint") from None

    def restore(self) -> None:
        """The checkpoint as the kill left it."""
        shutil.rmtree(self.checkpoint, ignore_errors=True)
        shutil.copytree(self.kept, self.checkpoint)


def flip(files: list[Path]) -> None:
    """One bit in the middle."""
    content = bytearray(files[-1].read_bytes())
    content[len(content) // 2] ^= 1 << random.Random(1).randrange(8)
    files[-1].write_bytes(content)


def truncate(files: list[Path]) -> None:
    """The second half is gone."""
    content = files[-1].read_bytes()
    files[-1].write_bytes(content[: len(content) // 2])


def swap(files: list[Path]) -> None:
    """The newest two change places."""
    one, other = files[-2].read_bytes(), files[-1].read_bytes()
    files[-2].write_bytes(other)
    files[-1].write_bytes(one)


DAMAGES = {"flip": flip, "truncate": truncate, "swap": swap, "delete": lambda files: files[-1].unlink()}


def main() -> int:
    """Runs the scenarios; 0 when all of them came out as they say."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", type=Path, required=True)
    parser.add_argument("--only", default="", help="names that begin so")
    asked = parser.parse_args()
    failed = 0
    files = sorted(file for file in (HERE / "scenarios").glob("*.json") if file.name.startswith(asked.only))
    for file in files:
        with tempfile.TemporaryDirectory() as folder:
            scenario = Scenario(json.loads(file.read_text(encoding="utf-8")), asked.program.resolve(), Path(folder))
            try:
                print(f"{file.stem}: {scenario.run()}", flush=True)
            except Failed as wrong:
                failed += 1
                print(f"FAILED {file.stem}: {wrong}", flush=True)
    print(f"{len(files) - failed} passed, {failed} failed, 0 skipped")
    return int(failed > 0 or not files)


if __name__ == "__main__":
    sys.exit(main())
