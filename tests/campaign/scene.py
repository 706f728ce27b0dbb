"""Where a scenario of the fault matrix takes place: a pipeline that was killed in the middle of its work, and the oracle.

Must not know any fault.
"""

import shutil
import signal
import subprocess
from pathlib import Path

from cycle import Program
from files_delta import FilesDelta
from life import Failed
from validator import compare

SECONDS_MAX = 60.0
SNAPSHOTS = "snapshot_bytes=1024"
KILLED = -9


class Skipped(Exception):
    """This machine cannot show the fault; says why."""


def drained(life: subprocess.Popen) -> int:
    """Asks a life to end; its code."""
    life.send_signal(signal.SIGTERM)
    try:
        return life.wait(SECONDS_MAX)
    except subprocess.TimeoutExpired:
        life.kill()
        life.wait()
        raise Failed("the program hangs when it is asked to end") from None


class Scene:
    """One scenario's folder, pipeline and program; `wanted` is the scenario's file."""

    def __init__(self, wanted: dict, program: Path, folder: Path, services) -> None:
        self.wanted, self.folder, self.services = wanted, folder, services
        self.program_path = program
        self.pipeline = FilesDelta(folder, seed=7)
        settings = [SNAPSHOTS, *wanted.get("settings", [])]
        self.program = Program(program, folder, settings, self.pipeline.feed)
        self.checkpoint = self.pipeline.checkpoint
        # what the kill has left of the checkpoint
        self.kept = folder / "kept"

    def kill_midway(self) -> None:
        """A first life, killed between a sink's commit and ours; more input comes after it."""
        life = self.program.start("--trigger", "processing-time 2ms", "--fault", "sink-committed:24:kill")
        if life.wait(SECONDS_MAX) != KILLED:
            raise Failed(f"the pipeline was not killed at its step\n{self.program.told()}")
        shutil.copytree(self.checkpoint, self.kept)
        for _ in range(3):
            self.pipeline.feed()

    def start(self, *options: str) -> int:
        """A start over what is there; its code."""
        life = self.program.start(*(options or ("--trigger", "available-now")))
        try:
            return life.wait(SECONDS_MAX)
        except subprocess.TimeoutExpired:
            life.kill()
            life.wait()
            raise Failed(f"the program hangs\n{self.program.told()}") from None

    def check_end(self, code: int) -> None:
        """The code is one of those the scenario allows, and the program says what it must."""
        if code not in self.wanted["codes"]:
            raise Failed(f"ended with code {code}, not one of {self.wanted['codes']}\n{self.program.told()}")
        told = self.program.told()
        for word in self.wanted.get("says", []):
            if word not in told:
                raise Failed(f"it does not say '{word}':\n{told}")

    def restore(self) -> None:
        """The checkpoint as the kill left it."""
        shutil.rmtree(self.checkpoint, ignore_errors=True)
        shutil.copytree(self.kept, self.checkpoint)

    def finish(self) -> None:
        """Runs undisturbed over the rest."""
        self.program.finish(SECONDS_MAX)

    def compared(self, what: str) -> str:
        """The oracle's rows are there, each once."""
        wrong = compare(self.pipeline.oracle.rows(), self.pipeline.results("loop"))
        wrong += compare(self.pipeline.oracle.bad, self.pipeline.letters("loop"))
        if wrong:
            raise Failed("\n".join(wrong))
        return what
