"""Runs Nexmark's queries through Tidemill and checks each result against DuckDB over the same events, in batch.

    check.py --program PATH [--events N] [--rate N] [--files N] [--only q0,q5] [--out DIR]

A query is a pipeline: tables.sql, then queries/qN.sql. Every file of the events is an epoch of its own, so that what is
checked went through many. expected/qN.sql is the same question to DuckDB; `-- keys:` in it names the key of which a
result in update mode holds many versions, `-- result:` what is asked of the result before it is compared. Prints a table
of what a run took; the exit code is 1 when a result is wrong.
"""

from __future__ import annotations

import argparse
import datetime
import decimal
import os
import shutil
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import duckdb
from generate import generate

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from measure import Measured, adopt_orphans, measure  # noqa: E402

QUERIES = [f"q{number}" for number in range(23)]
SIDE_INPUT_ROWS = 10_000
DIGITS = 12
SHOWN = 3


class Nexmark:
    """One run over one set of events."""

    def __init__(self, asked: argparse.Namespace) -> None:
        self.asked = asked
        self.data = asked.out / f"events-{asked.events}-{asked.rate}-{asked.files}-{asked.seed}"
        self.database: duckdb.DuckDBPyConnection | None = None

    def make_data(self) -> None:
        """The events and the side input, unless they are there."""
        if (self.data / "complete").exists():
            return
        shutil.rmtree(self.data, ignore_errors=True)
        generate(
            self.data, events=self.asked.events, rate=self.asked.rate, files=self.asked.files, seed=self.asked.seed
        )
        rows = "".join(f"{key},value-{key * 7919 % 1000}\n" for key in range(SIDE_INPUT_ROWS))
        (self.data / "side_input.csv").write_text("key,value\n" + rows, encoding="utf-8")
        (self.data / "complete").touch()

    def run(self, query: str) -> tuple[Measured, Path]:
        """Runs the pipeline of a query; what it took, and where its result is."""
        folder = self.asked.out / query
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        pipeline = folder / f"{query}.sql"
        parts = (HERE / "tables.sql", HERE / "queries" / f"{query}.sql")
        pipeline.write_text("\n".join(part.read_text(encoding="utf-8") for part in parts), encoding="utf-8")
        command = [str(self.asked.program), "run", str(pipeline), "--checkpoint", str(folder / "checkpoint")]
        env = os.environ | {"DATA": str(self.data), "OUT": str(folder / "result")}
        return measure([*command, "--progress", "off", "--listen", "off"], folder / "log.txt", env), folder / "result"

    def events(self) -> duckdb.DuckDBPyConnection:
        """A database with the events; `final_..` are those whose windows are final."""
        if self.database is None:
            db = self.database = duckdb.connect()
            db.execute("SET TimeZone = 'UTC'")
            columns = {
                "person": "id BIGINT, name VARCHAR, emailAddress VARCHAR, creditCard VARCHAR, city VARCHAR, "
                "state VARCHAR, dateTime TIMESTAMP, extra VARCHAR",
                "auction": "id BIGINT, itemName VARCHAR, description VARCHAR, initialBid BIGINT, reserve BIGINT, "
                "dateTime TIMESTAMP, expires TIMESTAMP, seller BIGINT, category BIGINT, extra VARCHAR",
                "bid": "auction BIGINT, bidder BIGINT, price BIGINT, channel VARCHAR, url VARCHAR, "
                "dateTime TIMESTAMP, extra VARCHAR",
            }
            for table, of in columns.items():
                fields = ", ".join(f"{name}: '{kind}'" for name, kind in (column.split() for column in of.split(", ")))
                files = self.data / table / "*.json"
                db.execute(
                    f"CREATE TABLE {table} AS SELECT * FROM "
                    f"read_json('{files}', format = 'newline_delimited', columns = {{{fields}}})"
                )
                db.execute(
                    f"CREATE VIEW final_{table} AS SELECT * FROM {table} "
                    f"WHERE dateTime < (SELECT max(dateTime) - INTERVAL 1 DAY FROM {table})"
                )
            db.execute(f"CREATE TABLE side_input AS SELECT * FROM read_csv('{self.data / 'side_input.csv'}')")
        return self.database

    def difference(self, query: str, result: Path) -> str | None:
        """What is wrong with a result in Parquet files, of which the newer ones hold newer versions."""
        files = f"read_parquet('{result / '**' / '*.parquet'}', filename = true)"
        wishes = self.wishes(HERE / "expected" / f"{query}.sql")
        newest = f"QUALIFY row_number() OVER (PARTITION BY {wishes.get('keys')} ORDER BY filename DESC) = 1"
        of = f"SELECT * EXCLUDE filename FROM (SELECT * FROM {files} {newest if 'keys' in wishes else ''})"
        return self.compare(query, of, wishes.get("result"))

    @staticmethod
    def wishes(path: Path) -> dict[str, str]:
        """What the head of a query asks for."""
        lines = path.read_text(encoding="utf-8").splitlines()
        return dict(line[3:].split(": ", 1) for line in lines if line.startswith("-- ") and ": " in line)

    def compare(self, query: str, of: str, asked: str | None = None) -> str | None:
        """The same of a result that is a query to DuckDB."""
        db = self.events()
        db.execute(f"CREATE OR REPLACE TEMP VIEW result AS {of}")
        actual = rows(db, asked or "SELECT * FROM result")
        expected = rows(db, (HERE / "expected" / f"{query}.sql").read_text(encoding="utf-8"))
        missing, unexpected = expected - actual, actual - expected
        if not missing and not unexpected:
            return None
        examples = [f"  - {row}" for row in list(missing)[:SHOWN]] + [f"  + {row}" for row in list(unexpected)[:SHOWN]]
        counts = f"{missing.total()} rows missing, {unexpected.total()} unexpected of {expected.total()}"
        return "\n".join([counts, *examples])


def rows(db: duckdb.DuckDBPyConnection, query: str) -> Counter[Any]:
    """The rows of a query as a multiset."""
    table = db.execute(query).fetch_arrow_table()
    return Counter(tuple(plain(value) for value in row.values()) for row in table.to_pylist())


def plain(value: Any) -> Any:
    """A value that can be compared whatever program it comes from."""
    match value:
        case datetime.datetime():
            return value.replace(tzinfo=None).isoformat()
        case float() | decimal.Decimal():
            return float(f"{float(value):.{DIGITS}g}")
        case dict():
            return tuple(plain(one) for one in value.values())
        case list():
            return tuple(plain(one) for one in value)
    return value


def main() -> int:
    """Runs what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", type=Path, required=True)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--rate", type=int, default=10_000, help="events in a second of their time")
    parser.add_argument("--files", type=int, default=10, help="files of each kind: as many epochs")
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--only", default=",".join(QUERIES))
    parser.add_argument("--out", type=Path, default=HERE / "out")
    asked = parser.parse_args()
    asked.program, asked.out = asked.program.resolve(), asked.out.resolve()
    adopt_orphans()
    nexmark = Nexmark(asked)
    nexmark.make_data()
    wrong = 0
    print(
        f"{asked.events:,} events, seed {asked.seed}\n{'query':<7}{'seconds':>9}{'events/s':>12}{'CPU s':>8}{'peak':>10}"
    )
    for query in asked.only.split(","):
        try:
            took, result = nexmark.run(query)
            difference = nexmark.difference(query, result)
        except RuntimeError as failure:
            wrong += 1
            print(f"{query:<7}{failure}", flush=True)
            continue
        speed, peak = round(asked.events / took.seconds), round(took.peak_bytes / 2**20)
        print(f"{query:<7}{took.seconds:>9.2f}{speed:>12,}{took.cpu_seconds:>8.2f}{peak:>6} MiB", flush=True)
        if difference:
            wrong += 1
            print(f"{query} IS WRONG: {difference}", flush=True)
    print(f"{len(asked.only.split(',')) - wrong} right, {wrong} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
