"""A query from one table that is pushed at to JSON files, with its checkpoint and its log, in a folder of a test."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "services"))

from pipeline import PROGRAM

WAIT_SECONDS = 30.0
POLL_SECONDS = 0.02
SQL = """
{head}
CREATE TABLE events {columns} WITH ({table});
CREATE TABLE out WITH ({sink});
INSERT INTO out SELECT {select} FROM events;
"""
FILES = "connector = 'files', path = 'out', format = 'json'"


class Query:
    """The query, which can be killed and started again. Use it in a `with`: it ends with it."""

    def __init__(self, folder: Path, select: str = "*", columns: str = "(id BIGINT)", **table: object) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        head, sink = table.pop("head", ""), table.pop("sink", FILES)
        options = ", ".join(f"{name} = '{value}'" for name, value in table.items())
        self.sql = folder / f"{folder.name}.sql"
        self.sql.write_text(
            SQL.format(head=head, sink=sink, columns=columns, table=options, select=select), encoding="utf-8"
        )
        self.told = folder / "told.txt"
        self.process: subprocess.Popen | None = None

    def __enter__(self) -> "Query":
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self, *options: str) -> None:
        """Starts it; what it says is added to the file `told`."""
        options = options or ("--trigger", "processing-time 5ms")
        listen = [] if "--listen" in options else ["--listen", "off"]
        command = [str(PROGRAM), "run", str(self.sql), "--checkpoint", str(self.folder / "ckpt"), "--progress", "off"]
        with self.told.open("ab") as told:
            self.process = subprocess.Popen(
                [*command, *listen, *options], cwd=self.folder, stdout=told, stderr=told, stdin=subprocess.DEVNULL
            )

    def kill(self) -> None:
        """Ends it at once, as a crash does."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def stop(self) -> int:
        """Ends it in good order; returns its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(WAIT_SECONDS)

    def ended(self) -> int:
        """Waits for an end of its own; returns the exit code."""
        return self.process.wait(WAIT_SECONDS)

    def memory(self) -> int:
        """What it holds of its own, in bytes."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) << 10 for line in status if line.startswith("RssAnon:"))

    def says(self) -> str:
        """What it has said so far."""
        return self.told.read_text(encoding="utf-8", errors="replace")

    def rows(self) -> list[dict]:
        """What it has committed, in order."""
        rows = []
        for manifest in sorted((self.folder / "out" / "_tidemill" / "log").glob("*.json")):
            for file in json.loads(manifest.read_text(encoding="utf-8"))["files"]:
                lines = (self.folder / "out" / file["name"]).read_text(encoding="utf-8").splitlines()
                rows += [json.loads(line) for line in lines]
        return rows

    def until(self, holds: Callable[[list[dict]], bool]) -> list[dict]:
        """Waits until what is committed is as it should be."""
        return wait_for(self.rows, holds, self.says)

    def holds_text(self, text: str) -> list[str]:
        """The files below the folder that hold a text, the pipeline's own aside."""
        files = [path for path in self.folder.rglob("*") if path.is_file() and path != self.sql]
        return [str(path) for path in files if text.encode() in path.read_bytes()]


def wait_for(look: Callable[[], object], holds: Callable, says: Callable[[], str] = lambda: ""):
    """Looks again until it holds, within bounds."""
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        seen = look()
        if holds(seen):
            return seen
        time.sleep(POLL_SECONDS)
    raise AssertionError(f"not after {WAIT_SECONDS:g} s: {str(look())[-2000:]}\n{says()[-3000:]}")
