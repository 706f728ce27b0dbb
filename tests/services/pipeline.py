"""A small pipeline over JSON files, run by the program, for tests of what it writes to a service."""

import json
import os
import subprocess
from pathlib import Path

TARGET = Path(os.environ.get("CARGO_TARGET_DIR") or Path.home() / ".cache/tidemill/target")
PROGRAM = Path(os.environ.get("TIDEMILL_PROGRAM") or TARGET / "debug" / "tidemill")
RUN_SECONDS = 60.0
SQL = """
CREATE TABLE events ({columns}) WITH (connector = 'files', path = 'in', format = 'json', maxFilesPerTrigger = 1);
CREATE TABLE out WITH ({table});
INSERT INTO out {query};
"""


class Pipeline:
    """A query from files to one table, with its checkpoint, in a folder."""

    def __init__(self, folder: Path, columns: str, query: str, **table: object) -> None:
        self.folder = folder
        self.files = 0
        (folder / "in").mkdir(parents=True)
        options = ", ".join(f"{name} = '{value}'" for name, value in table.items())
        # the name of the file is that of the query, and two queries may share a server
        self.sql = folder / f"{folder.name}.sql"
        self.sql.write_text(SQL.format(columns=columns, query=query, table=options), encoding="utf-8")

    def feed(self, *rows: dict) -> None:
        """One more file of input, which is one epoch."""
        fresh = self.folder / "in" / ".fresh"
        fresh.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        fresh.rename(self.folder / "in" / f"{self.files:06}.json")
        self.files += 1

    def start(self, *options: str) -> subprocess.Popen:
        """Starts the query; without options it runs until it is stopped."""
        command = [str(PROGRAM), "run", str(self.sql), "--checkpoint", str(self.folder / "ckpt")]
        options = options or ("--trigger", "processing-time 5ms")
        listen = [] if "--listen" in options else ["--listen", "off"]
        command += ["--progress", "off", *listen, *options]
        return subprocess.Popen(command, cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def run(self, code: int = 0) -> str:
        """Runs the query over what is there; returns what it says, and fails unless it ends with `code`."""
        return ended(self.start("--trigger", "available-now"), code)


def ended(process: subprocess.Popen, code: int = 0) -> str:
    """Waits for the end of a query, which must have this exit code; returns what it said."""
    try:
        out, told = process.communicate(timeout=RUN_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        out, told = process.communicate()
        raise AssertionError(f"the query did not end\n{out}{told}") from None
    assert process.returncode == code, f"exit code {process.returncode}\n{out}{told}"
    return out + told
