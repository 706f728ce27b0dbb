"""One life of the program: started, watched, and killed or run to its end.

Must not know what the pipeline does, nor when to kill.
"""

import json
import os
import selectors
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from watch import Watch

END_SECONDS = 30.0
# without a report for this long, the input has run out
QUIET_SECONDS = 0.3


class Failed(Exception):
    """What must not happen has happened; says what."""


class Ended(Failed):
    """The program ended by itself."""

    def __init__(self, code: int, errors: str) -> None:
        super().__init__(f"the program ended by itself with code {code}\n--- its standard error\n{errors}")
        self.code = code


class Life:
    """A running program; the reports of its query and its files are counted as they come."""

    def __init__(self, command: list[str], folder: Path, watch: Watch, query: str, feed: Callable[[], None]) -> None:
        self.errors = folder / "stderr.log"
        self.reports: list[float] = []
        self.seen: Counter[str] = Counter()
        self._query = query
        self._feed = feed
        self._watch = watch
        self._partial = b""
        self._code: int | None = None
        self.begun = self._heard = time.monotonic()
        # it may have no input left, and was given some
        self._is_hungry = False
        with self.errors.open("wb") as errors:
            self.process = subprocess.Popen(
                command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors
            )
        self._end = os.pidfd_open(self.process.pid)
        self._events = selectors.DefaultSelector()
        self._events.register(self.process.stdout, selectors.EVENT_READ, self._take_reports)
        self._events.register(self._end, selectors.EVENT_READ, self._take_end)
        self._events.register(watch, selectors.EVENT_READ, self._take_files)
        os.set_blocking(self.process.stdout.fileno(), False)

    def until(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Waits for a condition or for the time to pass; tells which. Raises `Ended` at the program's end."""
        deadline = time.monotonic() + seconds
        while not condition():
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            for key, _ in self._events.select(min(left, QUIET_SECONDS)):
                key.data()
            if not self._is_hungry and time.monotonic() - self._heard > QUIET_SECONDS:
                self._is_hungry = True
                self._feed()
        return True

    def rest(self, seconds: float) -> None:
        """Lets time pass."""
        self.until(lambda: False, seconds)

    def kill(self) -> bool:
        """Kills it with SIGKILL; true when it was that which ended it."""
        if self._code is None:
            self.process.send_signal(signal.SIGKILL)
        return self.close() == -signal.SIGKILL

    def terminate(self) -> None:
        """Asks it to end."""
        self.process.send_signal(signal.SIGTERM)

    def end(self, seconds: float) -> None:
        """Runs until it ends by itself, which must be with code 0."""
        try:
            self.until(lambda: False, seconds)
        except Ended as ended:
            if ended.code != 0:
                raise
            return
        self.kill()
        raise Failed(f"the program was not done after {seconds:g} s\n--- its standard error\n{self.told()}")

    def told(self) -> str:
        """The end of its standard error."""
        return self.errors.read_text(encoding="utf-8", errors="replace")[-4000:]

    def close(self) -> int:
        """Waits for the end of the process; gives its code."""
        if self._code is None:
            self._code = self.process.wait(END_SECONDS)
            self._events.close()
            self.process.stdout.close()
            os.close(self._end)
        return self._code

    def _take_reports(self) -> None:
        content = self.process.stdout.read()
        if content == b"":
            self._events.unregister(self.process.stdout)
            return
        *lines, self._partial = (self._partial + (content or b"")).split(b"\n")
        for line in lines:
            report = json.loads(line) if line.startswith(b"{") else {}
            if report.get("name") == self._query and report["numInputRows"]:
                self._heard, self._is_hungry = time.monotonic(), False
                self.reports.append(self._heard)
                self._feed()

    def _take_files(self) -> None:
        for name, file, is_new in self._watch.read():
            if not file.startswith("."):
                self.seen[f"{name} {'new' if is_new else 'grew'}"] += 1

    def _take_end(self) -> None:
        code = self.close()
        raise Ended(code, self.told())


def watched(directories: dict[str, Path]) -> Watch:
    """A watch over directories by name."""
    watch = Watch()
    for name, directory in directories.items():
        directory.mkdir(parents=True, exist_ok=True)
        watch.add(name, directory)
    return watch
