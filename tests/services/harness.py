"""What every kind of service needs: a free port, a child process that cannot outlive us, bounded waits.

Must not know any one service.
"""

import ctypes
import os
import signal
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

PR_SET_PDEATHSIG = 1
STOP_SECONDS = 5.0
POLL_SECONDS = 0.05
_LIBC = ctypes.CDLL(None, use_errno=True)


class Failed(Exception):
    """A service did not start; says why and where its log is."""


@dataclass
class Running:
    """The processes of one started service and the variables its users read."""

    processes: list[subprocess.Popen] = field(default_factory=list)
    env: dict[str, str] = field(default_factory=dict)


def cache_folder(name: str) -> Path:
    """A folder that outlives the run, for what is costly to fetch."""
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = root / "tidemill" / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def free_port() -> int:
    """A loopback port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def spawn(command: list[str], log: Path) -> subprocess.Popen:
    """Starts a child in a session of its own that the kernel kills when we die."""
    parent = os.getpid()

    def die_with_parent() -> None:
        _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)

    try:
        with log.open("ab") as out:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
                preexec_fn=die_with_parent,
            )
    except FileNotFoundError as missing:
        raise Failed(f"cannot run '{command[0]}': it is not installed") from missing


def run_to_end(command: list[str], log: Path, seconds: float) -> None:
    """Runs a command that must succeed within `seconds`."""
    process = spawn(command, log)
    try:
        code = process.wait(seconds)
    except subprocess.TimeoutExpired as late:
        stop(process)
        raise Failed(f"'{command[0]}' was not done after {seconds:g} s\n{tail(log)}") from late
    if code != 0:
        raise Failed(f"'{command[0]}' ended with code {code}\n{tail(log)}")


def wait_for_port(port: int, process: subprocess.Popen, log: Path, seconds: float) -> None:
    """Returns once something listens on the loopback port; fails early when the process ends."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise Failed(f"ended with code {process.returncode} while starting\n{tail(log)}")
        with socket.socket() as probe:
            probe.settimeout(1.0)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(POLL_SECONDS)
    stop(process)
    raise Failed(f"did not listen on port {port} after {seconds:g} s\n{tail(log)}")


def stop(process: subprocess.Popen) -> None:
    """Ends the process and all it started: politely, then at once."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, sign)
        except ProcessLookupError:
            pass
        try:
            process.wait(STOP_SECONDS)
            return
        except subprocess.TimeoutExpired:
            continue


def tail(log: Path, lines: int = 30) -> str:
    """The end of a log, with its name."""
    text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    return f"--- end of {log}\n" + "\n".join(text.splitlines()[-lines:])
