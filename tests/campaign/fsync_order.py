#!/usr/bin/env python3
"""Is everything on the disk before what names it? A kill never tells: the operating system keeps what was written.

    fsync_order.py --program PATH

Runs a pipeline into files and one into Delta under strace and follows every write, rename and fsync:

- a commit of a table (Delta log entry, manifest) becomes visible only when every file below the table and the
  directories' entries for them are synced;
- the journal, which holds the commit of an epoch, is written only when the commits of the tables are synced;
- a snapshot's manifest becomes visible only when the snapshot's files are.

Then every file's fsync in turn is taken out of the trace: the check must complain each time.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "kill")]

import events  # noqa: E402
from strace import calls  # noqa: E402

CALLS = "openat,write,pwrite64,fsync,fdatasync,rename,renameat,renameat2,link,linkat,mkdir,unlink,ftruncate"
PORTIONS = 12
COMMIT = re.compile(r"/(?:_delta_log|_tidemill/log)/\d+\.json$")
MANIFEST = re.compile(r"/snapshots/[^/]+/manifest\.json$")
JOURNAL = re.compile(r"/journal/\d+\.log$")
SQL = """
SET snapshot_bytes = 2KiB;
CREATE TABLE events (user STRING, session STRING, ts TIMESTAMP, amount INT,
                     WATERMARK FOR ts AS ts - INTERVAL '2 minutes')
    WITH (connector = 'files', path = 'in', format = 'json', maxFilesPerTrigger = 1);
CREATE TABLE results WITH (connector = '{sink}', path = 'out' {more});
INSERT INTO results SELECT window.start AS opened, user, count(*) AS events
FROM events GROUP BY window(ts, '5 minutes', '1 minute'), user;
"""
SINKS = {"files": ", format = 'parquet'", "delta": ""}


class Disk:
    """What would survive if the machine went down now."""

    def __init__(self) -> None:
        self.dirty: set[str] = set()
        self.entries: set[str] = set()
        self.wrong: list[str] = []
        self.commits = 0

    def written(self, path: str) -> None:
        """Content that is not synced."""
        if JOURNAL.search(path):
            tables = {file for file in self.dirty | self.entries if COMMIT.search(file)}
            self.wrong += [f"the journal is written while {file} is not synced" for file in sorted(tables)]
        self.dirty.add(path)

    def synced(self, path: str) -> None:
        """A file's content, or a directory's entries."""
        self.dirty.discard(path)
        self.entries = {entry for entry in self.entries if str(Path(entry).parent) != path}

    def named(self, path: str, before: str | None = None) -> None:
        """A new name in a directory, perhaps for a file that had another."""
        if before in self.dirty:
            self.dirty.add(path)
        if before is not None:
            self.dirty.discard(before)
            self.entries.discard(before)
        if COMMIT.search(path) or MANIFEST.search(path):
            self.commits += 1
            below = str(Path(path).parent if MANIFEST.search(path) else _table(path))
            files = {file for file in self.dirty | self.entries if file.startswith(f"{below}/")}
            files = {file for file in files if "/staging/" not in file and not Path(file).name.startswith(".")}
            self.wrong += [f"{path} becomes visible while {file} is not synced" for file in sorted(files)]
        self.entries.add(path)

    def gone(self, path: str) -> None:
        """A name less."""
        self.dirty.discard(path)
        self.entries.discard(path)


def _table(commit: str) -> str:
    return re.split(r"/_delta_log/|/_tidemill/log/", commit)[0]


def follow(trace: str, folder: Path, without: str | None = None) -> Disk:
    """The disk after a trace, as if the fsyncs of one path had not been made."""
    disk = Disk()
    for call in calls(trace):
        name, at = call.name, call.first_file()
        texts = [str(folder / text.decode(errors="replace")) for text in call.texts()]
        if name in ("write", "pwrite64", "ftruncate") and at:
            disk.written(at[1])
        elif name in ("fsync", "fdatasync") and at:
            if at[1] != without:
                disk.synced(at[1])
        elif name == "openat" and "O_CREAT" in call.arguments and texts:
            disk.named(texts[0])
        elif name == "mkdir" and texts:
            disk.named(texts[0])
        elif name.startswith(("rename", "link")) and len(texts) > 1:
            disk.named(texts[1], texts[0])
        elif name == "unlink" and texts:
            disk.gone(texts[0])
    return disk


def recorded(program: Path, sink: str, folder: Path) -> str:
    """The trace of a run."""
    (folder / "in").mkdir()
    for number in range(PORTIONS):
        lines = events.portion(1, number).lines
        (folder / "in" / f"{number:06}.json").write_bytes(b"".join(line + b"\n" for line in lines))
    (folder / "loop.sql").write_text(SQL.format(sink=sink, more=SINKS[sink]), encoding="utf-8")
    command = ["strace", "-f", "-y", "-s", "0", "-o", "trace", "-e", f"trace={CALLS}", str(program), "run", "loop.sql"]
    command += ["--checkpoint", "loop.ckpt", "--trigger", "available-now", "--progress", "off", "--listen", "off"]
    subprocess.run(command, cwd=folder, check=True)
    return (folder / "trace").read_text(encoding="utf-8", errors="replace")


def check(program: Path, sink: str, folder: Path) -> int:
    """Checks one sink; 0 when the order holds and the check itself can fail."""
    trace = recorded(program, sink, folder)
    disk = follow(trace, folder)
    made = {at[1] for call in calls(trace) if call.name == "fsync" and (at := call.first_file())}
    guards = sorted(path for path in made if f"{path}/".startswith(f"{folder}/out/"))
    blind = [path for path in guards if not follow(trace, folder, path).wrong]
    print(f"{sink}: {disk.commits} commits and manifests, {len(disk.wrong)} out of order; ", end="")
    print(f"{len(guards) - len(blind)} of {len(guards)} fsyncs taken out are noticed")
    for wrong in disk.wrong[:5] + [f"without the fsync of {path} nothing is noticed" for path in blind[:5]]:
        print(f"    {wrong}")
    return int(bool(disk.wrong or blind) or not guards or disk.commits < PORTIONS // 2)


def main() -> int:
    """Checks every sink."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", type=Path, required=True)
    program = parser.parse_args().program.resolve()
    failed = 0
    for sink in SINKS:
        with tempfile.TemporaryDirectory() as folder:
            failed += check(program, sink, Path(folder).resolve())
    return failed


if __name__ == "__main__":
    sys.exit(main())
