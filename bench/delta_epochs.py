#!/usr/bin/env python3
"""Does a Delta table cost more to commit to, the more commits it has? Thousands of small epochs, one after another.

    delta_epochs.py --program PATH [--epochs 10000] [--interval 1s] [--out DIR]

While one writer goes on, `deltalake` and DuckDB read the table every few hundred epochs and must see whole epochs
and no row twice, and a foreign writer (`deltalake`) appends rows of its own in between. Machines are noisy: when the last
hundred epochs come, a second, new table is begun beside the old one, and both are timed in the same minute.
Prints medians a thousand epochs, and both ratios; the table is kept in DIR.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import duckdb
import duckdb_ext
import pyarrow
from deltalake import DeltaTable, write_deltalake

HERE = Path(__file__).resolve().parent
PIPELINE = HERE / "pipelines" / "delta_epochs.sql"
FOREIGN = "foreign"
SPAN = 100
READ_EVERY = 250
FOREIGN_EVERY = 500


class Writer:
    """The program over one table, and what it reported of every epoch."""

    def __init__(self, program: Path, folder: Path, interval: str) -> None:
        self.folder, self.table = folder, folder / "table"
        folder.mkdir(parents=True)
        # milliseconds of the sink's commit, and rows, of every epoch that had rows
        self.commits: list[float] = []
        self.rows = 0
        env = os.environ | {"INTERVAL": interval, "TABLE": str(self.table)}
        command = [
            program,
            "run",
            PIPELINE,
            "--checkpoint",
            folder / "checkpoint",
            "--progress",
            "json",
            "--listen",
            "off",
        ]
        with (folder / "stderr.log").open("wb") as errors:
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, env=env, text=True)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        for line in self.process.stdout:
            if not line.startswith("{"):
                continue
            report = json.loads(line)
            sinks = report.get("sinks") or [report["sink"]]
            if report["numInputRows"]:
                self.rows += report["numInputRows"]
                self.commits.append(sinks[0]["commitMs"])

    def wait(self, epochs: int) -> None:
        """Until it has so many epochs."""
        while len(self.commits) < epochs:
            if self.process.poll() is not None:
                told = (self.folder / "stderr.log").read_text(errors="replace")[-2000:]
                raise SystemExit(f"the program ended with code {self.process.returncode}:\n{told}")
            time.sleep(0.05)

    def stop(self) -> None:
        """Asks it to end."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)
        self.reader.join(5)


def look(writer: Writer) -> dict:
    """Both readers' counts, which must be of whole epochs without a row twice."""
    table = DeltaTable(writer.table)
    rows = table.to_pyarrow_table(columns=["event_id"])
    ours = [one for one in rows["event_id"].to_pylist() if not one.startswith(FOREIGN)]
    duck = duckdb.connect()
    duckdb_ext.init(duck)
    seen, distinct = duck.execute(
        f"SELECT count(*), count(DISTINCT event_id) FROM delta_scan('{writer.table}') WHERE event_id NOT LIKE '{FOREIGN}%'"
    ).fetchone()
    if len(ours) != len(set(ours)) or seen != distinct:
        raise SystemExit("a reader sees a row twice")
    if seen < len(ours):
        raise SystemExit(f"DuckDB came later and sees fewer rows: {seen}, deltalake {len(ours)}")
    return {"rows": seen, "files": len(table.file_uris()), "version": table.version()}


def append_foreign(writer: Writer, number: int) -> None:
    """A commit of somebody else."""
    schema = DeltaTable(writer.table).schema().to_arrow()
    schema = pyarrow.schema(schema)
    row = {field.name: [None] for field in schema} | {"event_id": [f"{FOREIGN}-{number}"]}
    write_deltalake(writer.table, pyarrow.table(row, schema=schema), mode="append")


def median(values: list[float]) -> float:
    """Milliseconds."""
    return round(statistics.median(values), 2)


def main() -> int:
    """Runs it; 0 when every look was right."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=10_000)
    parser.add_argument("--interval", default="1s", help="between two epochs")
    parser.add_argument("--out", type=Path, help="kept there; default: a folder that is removed")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = asked.out or Path(scratch) / "out"
        writer = Writer(asked.program.resolve(), folder / "long", asked.interval)
        looks, foreign = [], 0
        for at in range(READ_EVERY, asked.epochs - SPAN + 1, READ_EVERY):
            writer.wait(at)
            if at % FOREIGN_EVERY == 0:
                append_foreign(writer, foreign)
                foreign += 1
            looks.append(look(writer))
            if at % 1000 == 0:
                print(f"{at:6} epochs: commit {median(writer.commits[at - 1000 : at])} ms, {looks[-1]}", flush=True)
        writer.wait(asked.epochs - SPAN)
        fresh = Writer(asked.program.resolve(), folder / "fresh", asked.interval)
        fresh.wait(SPAN)
        writer.wait(asked.epochs)
        for one in (fresh, writer):
            one.stop()
        rows = DeltaTable(writer.table).to_pyarrow_table(columns=["event_id"])["event_id"].to_pylist()
        ours = [one for one in rows if not one.startswith(FOREIGN)]
        if len(ours) != writer.rows or len(set(ours)) != len(ours) or len(rows) - len(ours) != foreign:
            raise SystemExit(
                f"{writer.rows} rows reported, {len(ours)} there, {len(set(ours))} different; foreign {foreign}"
            )
        first, last = median(writer.commits[:SPAN]), median(writer.commits[asked.epochs - SPAN : asked.epochs])
        beside = median(fresh.commits[:SPAN])
        result = {
            "epochs": len(writer.commits),
            "rows": len(ours),
            "foreign_commits": foreign,
            "looks": len(looks),
            "files_most": max(one["files"] for one in looks),
            "first_hundred_ms": first,
            "last_hundred_ms": last,
            "new_table_beside_ms": beside,
            "last_to_first": round(last / first, 2),
            "last_to_new_beside": round(last / beside, 2),
        }
        print(json.dumps(result, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
