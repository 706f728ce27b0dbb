"""Times a command as a whole process tree: wall time, CPU time, peak memory."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36
POLL_SECONDS = 0.02
SECONDS_MAX = 1800


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
        RuntimeError: it failed, or took too long; the end of its log is in the message.
    """
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    peak, done = [0], threading.Event()
    started = time.monotonic()
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=env)

    def watch() -> None:
        while not done.wait(POLL_SECONDS):
            peak[0] = max(peak[0], tree_bytes(process.pid), high_water_bytes(process.pid))
            if time.monotonic() - started > SECONDS_MAX:
                kill_tree(process.pid)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        code = process.wait()
    finally:
        seconds = time.monotonic() - started
        reap_adopted()
        done.set()
        watcher.join()
    if code != 0:
        raise RuntimeError(f"{command[0]} ended with code {code}:\n{log.read_text(errors='replace')[-3000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Measured(seconds, cpu, peak[0])


def high_water_bytes(process: int) -> int:
    """The kernel's own peak of one process, which misses nothing between two looks. (`ru_maxrss` would do, but it begins
    with what the process that started it held.)"""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM")), 0)


def reap_adopted() -> None:
    """Waits for grandchildren that became ours, and for nothing else that we run (a broker)."""
    while orphans := [pid for pid in children(os.getpid()) if pid not in KEPT]:
        for pid in orphans:
            try:
                os.waitpid(pid, 0)
            except ChildProcessError:
                return


# processes that outlive a measurement
KEPT: set[int] = set()


def keep_children() -> None:
    """What runs now is no part of later measurements."""
    KEPT.update(children(os.getpid()))


def tree(root: int) -> list[int]:
    """A process and its descendants, and those that it left to us."""
    found: list[int] = []
    unseen = [root, *(pid for pid in children(os.getpid()) if pid not in KEPT and pid != root)]
    while unseen:
        found.append(unseen.pop())
        unseen += children(found[-1])
    return found


def kill_tree(root: int) -> None:
    """Ends all of them."""
    for process in tree(root):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


def tree_bytes(root: int) -> int:
    """Resident bytes of all of them."""
    total = 0
    for process in tree(root):
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
