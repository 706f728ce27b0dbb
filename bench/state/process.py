"""The program under measurement: started, watched from outside, killed, stopped."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

POLL_SECONDS = 0.005
WAIT_SECONDS_MAX = 3600.0

PIPELINE = """\
SET name = 'state_bench';
CREATE TABLE events (k BIGINT, amount DOUBLE, note STRING)
    WITH (connector = 'files', path = '{data}', format = 'parquet', max_files_per_trigger = '1');
CREATE TABLE out WITH (connector = 'files', path = '{out}', format = 'parquet');
INSERT INTO out {query};
"""
# the state changes and hardly anything comes out: what is measured is state
WITH_STATE = "SELECT k, count(*) AS n, sum(amount) AS total, last(note) AS note FROM events GROUP BY k HAVING n < 0"
WITHOUT = "SELECT k, amount, note FROM events WHERE amount < 0 AND note = ''"


@dataclass
class Ran:
    """A run that has ended."""

    seconds: float
    peak_bytes: int
    written_bytes: int
    checkpoint_bytes: int
    epochs: list[dict] = field(default_factory=list)
    ready_seconds: float = 0.0
    first_epoch_seconds: float = 0.0


class Killed(Ran):
    """A run that was killed."""


class Program:
    """A pipeline with its data and its checkpoint, run as often as is asked."""

    def __init__(self, program: Path, work: Path, keeps: bool = True, **settings: object) -> None:
        self.program, self.data, self.checkpoint = program, work / "data", work / "checkpoint"
        self.data.mkdir(parents=True)
        self.settings = {"output_mode": "update" if keeps else "append"} | settings
        self.log, self.file = work / "log", work / "bench.sql"
        query = WITH_STATE if keeps else WITHOUT
        self.file.write_text(PIPELINE.format(data=self.data, out=work / "out", query=query))

    def to_the_end(self) -> Ran:
        """Works off what is there."""
        run = Run(self, "available-now")
        return run.wait(expect=0)

    def kill_after(self, epochs: int) -> Ran:
        """Kills it when it has done so many epochs."""
        run = Run(self, "asap")
        run.wait_for(lambda: len(run.epochs) >= epochs, "epochs")
        run.process.kill()
        return Killed(**vars(run.wait(expect=-signal.SIGKILL)))

    def start_and_stop(self) -> Ran:
        """Starts it, waits for its first epoch, stops it."""
        run = Run(self, "asap")
        run.wait_for(run.is_ready, "/readyz")
        ready = time.monotonic() - run.started
        run.wait_for(lambda: run.epochs, "an epoch")
        first = run.first - run.started
        run.process.send_signal(signal.SIGTERM)
        ran = run.wait(expect=0)
        ran.ready_seconds, ran.first_epoch_seconds = ready, first
        return ran

    def written(self) -> dict[int, int]:
        """The files that are what survives, by inode: the journal's segments and those of snapshots."""
        found = {}
        for part in ("journal", "snapshots"):
            for path in (self.checkpoint / part).rglob("*"):
                with contextlib.suppress(FileNotFoundError):
                    status = path.stat()
                    found[status.st_ino] = status.st_size if path.is_file() else 0
        return found

    def checkpoint_bytes(self) -> int:
        """Bytes of the checkpoint, files with several names counted once."""
        found = {}
        for path in self.checkpoint.rglob("*"):
            with contextlib.suppress(FileNotFoundError):
                status = path.stat()
                found[status.st_ino] = status.st_size if path.is_file() else 0
        return sum(found.values())

    def snapshots(self) -> list[Path]:
        """Whole snapshots."""
        return list((self.checkpoint / "snapshots").glob("*/manifest.json"))


class Run:
    """One process."""

    def __init__(self, of: Program, trigger: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.url = f"http://127.0.0.1:{free.getsockname()[1]}"
        settings = [word for name, value in of.settings.items() for word in ("--set", f"{name}={value}")]
        command = [of.program, "run", of.file, "--checkpoint", of.checkpoint, "--trigger", trigger]
        command += ["--progress", "json", "--listen", self.url.removeprefix("http://"), *settings]
        self.of, self.log, self.epochs, self.first, self.written = of, of.log, [], 0.0, 0
        self.before, self.files = of.written(), {}
        self.started = time.monotonic()
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=of.log.open("wb"))
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self) -> None:
        """Takes the lines of progress as they come."""
        for line in self.process.stdout or ():
            self.first = self.first or time.monotonic()
            self.epochs.append(json.loads(line))
            self.look()

    def look(self) -> None:
        """Notes how much has been written: what the kernel says, and the checkpoint's files, which come and go."""
        for inode, size in self.of.written().items():
            self.files[inode] = max(size, self.files.get(inode, 0))
        with contextlib.suppress(OSError):
            lines = Path(f"/proc/{self.process.pid}/io").read_text().splitlines()
            self.written = max(
                self.written, *(int(line.split()[1]) for line in lines if line.startswith("write_bytes"))
            )

    def is_ready(self) -> bool:
        """True when the program says that it is."""
        try:
            with urllib.request.urlopen(f"{self.url}/readyz", timeout=5) as answer:
                return answer.status == 200
        except (urllib.error.URLError, OSError):
            return False

    def wait_for(self, happened, what: str) -> None:
        """Waits until something has happened."""
        until = time.monotonic() + WAIT_SECONDS_MAX
        while not happened():
            if self.process.poll() is not None:
                raise RuntimeError(f"ended before {what}:\n{self.log.read_text()[-3000:]}")
            if time.monotonic() > until:
                self.process.kill()
                raise RuntimeError(f"no {what} within {WAIT_SECONDS_MAX:.0f} s")
            time.sleep(POLL_SECONDS)

    def wait(self, expect: int) -> Ran:
        """Waits for its end; the peak of its memory is the kernel's."""
        while True:
            ended, status, usage = os.wait4(self.process.pid, os.WNOHANG)
            if ended:
                break
            time.sleep(POLL_SECONDS)
        seconds = time.monotonic() - self.started
        code = os.waitstatus_to_exitcode(status)
        self.process.returncode = code
        self.reader.join()
        if code != expect:
            raise RuntimeError(f"ended with {code}:\n{self.log.read_text()[-3000:]}")
        self.look()
        new = sum(size for inode, size in self.files.items() if inode not in self.before)
        return Ran(seconds, usage.ru_maxrss * 1024, self.written, new, self.epochs)
