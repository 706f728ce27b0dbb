"""One cycle: the program is started, broken as a plan says, and what that left is told.

Must not know what the pipeline does.
"""

import contextlib
import os
import random
import re
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from life import Failed
from plans import Plan

FIRED_SECONDS_MAX = 20.0
HUNGRY_SECONDS = 0.5
FENCED = 76
# EX_TEMPFAIL: to be started again
TEMPFAIL = 75
SNAPSHOT_BYTES = (1 << 10, 4 << 10, 24 << 10)
_FAULT = re.compile(r"fault\b.*\bstep=")


@dataclass(frozen=True)
class Outcome:
    """How a life ended: whether the fault came, the program's code, and how long it took, in seconds."""

    fired: int
    code: int
    took: float


class Program:
    """The program, its pipeline file and its checkpoint; `feed` gives it one more portion of input."""

    def __init__(self, program: Path, folder: Path, settings: list[str], feed, kill_server=None) -> None:
        self.folder = folder
        self.errors = folder / "stderr.log"
        self.feed = feed
        self.kill_server = kill_server
        self.command = [str(program), "run", "loop.sql", "--checkpoint", "loop.ckpt", "--progress", "off"]
        self.command += ["--listen", "off"]
        self.settings = [part for setting in settings for part in ("--set", setting)]
        # variables of the environment besides those of the campaign
        self.env: dict[str, str] = {}

    def start(self, *options: str) -> subprocess.Popen:
        """A new life."""
        with self.errors.open("wb") as errors:
            return subprocess.Popen(
                [*self.command, *self.settings, *options],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                env=os.environ | self.env,
            )

    def told(self) -> str:
        """What the last life said."""
        return self.errors.read_text(encoding="utf-8", errors="replace")[-4000:]

    def run(self, plan: Plan, query: str, dice: random.Random) -> Outcome:
        """A cycle."""
        begun = time.monotonic()
        fired, code = 0, 0
        for _ in range(plan.times):
            options = ("--trigger", "processing-time 2ms", "--set", f"parallelism={dice.choice((1, 2, 4))}")
            options += ("--set", f"snapshot_bytes={512 if plan.snapshots else dice.choice(SNAPSHOT_BYTES)}")
            if plan.step:
                options += ("--fault", plan.fault(query))
            life = self.start(*options)
            try:
                code = BREAKS[plan.kind](self, life, dice)
            finally:
                with contextlib.suppress(ProcessLookupError):
                    life.kill()
                life.wait()
            fired += bool(_FAULT.search(self.told()))
        return Outcome(fired, code, time.monotonic() - begun)

    def finish(self, seconds_max: float) -> None:
        """Runs undisturbed over what is left."""
        life = self.start("--trigger", "available-now")
        try:
            code = life.wait(seconds_max)
        except subprocess.TimeoutExpired:
            life.kill()
            life.wait()
            raise Failed(f"not done after {seconds_max:g} s\n{self.told()}") from None
        if code:
            raise Failed(f"an undisturbed run ended with code {code}\n{self.told()}")

    def until(self, life: subprocess.Popen, condition) -> bool:
        """Waits for a condition; gives the program more input while it waits."""
        deadline = time.monotonic() + FIRED_SECONDS_MAX
        fed = time.monotonic()
        while not condition():
            if time.monotonic() > deadline:
                return False
            if time.monotonic() - fed > HUNGRY_SECONDS:
                self.feed()
                fed = time.monotonic()
            time.sleep(0.002)
        return True

    def dies(self, life: subprocess.Popen, _dice: random.Random) -> int:
        """It kills itself at its step."""
        self.until(life, lambda: life.poll() is not None)
        return self.ended(life, "its own fault")

    def at_random(self, life: subprocess.Popen, dice: random.Random) -> int:
        """It is killed at some moment."""
        time.sleep(dice.uniform(0, 0.25))
        life.send_signal(signal.SIGKILL)
        return self.ended(life, "a kill")

    def drains(self, life: subprocess.Popen, dice: random.Random) -> int:
        """It is asked to end and killed while it does."""
        time.sleep(dice.uniform(0.05, 0.25))
        life.send_signal(signal.SIGTERM)
        time.sleep(dice.uniform(0, 0.05))
        life.send_signal(signal.SIGKILL)
        code = life.wait()
        # a signal that comes before the program listens for it ends it as SIGTERM does
        if code not in (0, -signal.SIGKILL, -signal.SIGTERM):
            raise Failed(f"the program ended with code {code} when asked to end\n{self.told()}")
        return code

    def loses_server(self, life: subprocess.Popen, dice: random.Random) -> int:
        """The sink's server dies and comes back while it works; it goes on, or says that it may be started again."""
        time.sleep(dice.uniform(0.02, 0.2))
        self.kill_server()
        time.sleep(dice.uniform(0, 0.2))
        life.send_signal(signal.SIGKILL)
        code = life.wait()
        if code not in (-signal.SIGKILL, TEMPFAIL):
            raise Failed(f"the program ended with code {code} when its server was killed\n{self.told()}")
        return code

    def is_fenced(self, life: subprocess.Popen, dice: random.Random) -> int:
        """It stops at its step; a second one on its checkpoint must leave at once, and write nothing."""
        if not self.until(life, lambda: stopped(life.pid) or life.poll() is not None) or life.poll() is not None:
            raise Failed(f"the program did not stop at its step\n{self.told()}")
        told = self.told()
        second = self.start("--trigger", "available-now")
        try:
            code = second.wait(FIRED_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            code = None
            second.kill()
            second.wait()
        if code != FENCED:
            raise Failed(f"a second process on the checkpoint ended with code {code}, not {FENCED}\n{self.told()}")
        self.errors.write_text(told, encoding="utf-8")
        life.send_signal(signal.SIGCONT)
        time.sleep(dice.uniform(0, 0.1))
        life.send_signal(signal.SIGKILL)
        return self.ended(life, "a kill")

    def ended(self, life: subprocess.Popen, what: str) -> int:
        """Its code, which must be that of a kill."""
        if life.poll() is None and what == "its own fault":
            # it never came to its step; the campaign counts that
            life.kill()
        code = life.wait()
        if code != -signal.SIGKILL:
            raise Failed(f"the program ended by itself with code {code} before {what}\n{self.told()}")
        return code


BREAKS = {
    "step": Program.dies,
    "recovery": Program.dies,
    "random": Program.at_random,
    "term": Program.drains,
    "zombie": Program.is_fenced,
    "server": Program.loses_server,
}


def stopped(process: int) -> bool:
    """True when the process stands still after SIGSTOP."""
    try:
        with open(f"/proc/{process}/stat", encoding="ascii", errors="replace") as file:
            return file.read().rsplit(")", 1)[1].split()[0] == "T"
    except (FileNotFoundError, ProcessLookupError):
        return os.path.exists(f"/proc/{process}") and False
