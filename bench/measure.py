"""Times a command as a whole process tree: wall time, CPU time, peak memory."""

import ctypes
import os
import resource
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36
POLL_SECONDS = 0.05


@dataclass
class Measured:
    """What a command took."""

    seconds: float
    cpu_seconds: float
    peak_bytes: int


def adopt_orphans() -> None:
    """Makes grandchildren ours when their parents end, so that a JVM behind a launcher is counted."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def measure(command: list[str], log: Path, env: dict[str, str] | None = None) -> Measured:
    """Runs a command to its end.

    Raises:
        RuntimeError: it failed; the end of its log is in the message.
    """
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.monotonic()
    peak, done = [0], threading.Event()

    def watch() -> None:
        while not done.wait(POLL_SECONDS):
            peak[0] = max(peak[0], tree_bytes(os.getpid()))

    watcher = threading.Thread(target=watch)
    watcher.start()
    with log.open("wb") as out:
        code = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=env, check=False
        ).returncode
    seconds = time.monotonic() - started
    reap_orphans()
    done.set()
    watcher.join()
    if code != 0:
        raise RuntimeError(f"{command[0]} ended with code {code}:\n{log.read_text(errors='replace')[-3000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Measured(seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, peak[0])


def reap_orphans() -> None:
    """Waits for adopted grandchildren."""
    while True:
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def tree_bytes(root: int) -> int:
    """Resident bytes of all descendants of a process."""
    total, todo = 0, children(root)
    while todo:
        process = todo.pop()
        todo += children(process)
        try:
            total += int(Path(f"/proc/{process}/statm").read_text().split()[1]) * resource.getpagesize()
        except OSError:
            continue
    return total


def children(process: int) -> list[int]:
    """Its direct children, of all its threads."""
    found: list[int] = []
    try:
        for task in Path(f"/proc/{process}/task").iterdir():
            found += [int(child) for child in (task / "children").read_text().split()]
    except OSError:
        pass
    return found
