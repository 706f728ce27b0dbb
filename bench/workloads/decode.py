"""Decoding: every column of JSON and Avro files is looked at, one row comes out."""

from __future__ import annotations

from pathlib import Path

import duckdb
from measure import Measured
from suite import HERE, Suite

FORMS = ("json", "avro")
BATCH = ["duckdb", "polars", "datafusion"]


def run(suite: Suite) -> None:
    """Ours on both formats; engines that read JSON in batch beside it."""
    data = suite.events()
    for form in FORMS:
        runs: list[Measured] = []
        of = data if form == "json" else avro(suite)
        for _ in range(suite.asked.runs):
            folder = suite.fresh(f"decode-{form}")
            env = {"DATA": str(of), "OUT": str(folder), "FORMAT": form}
            runs.append(suite.tidemill(HERE / "pipelines" / "decode.sql", folder, env))
        check(suite, folder)
        suite.add_runs(f"decode_{form}", "tidemill", suite.asked.events, runs)
    for name in BATCH:
        if engine := suite.engine(name):
            took: list[Measured] = []
            for _ in range(suite.asked.runs):
                suite.attempt(f"decode on {name}", add, took, suite, name, data)
            if took:
                suite.add_runs("decode_json", name, suite.asked.events, took, batch=engine.batch)


def add(took: list[Measured], suite: Suite, name: str, data: Path) -> None:
    """One more run of a peer."""
    took.append(suite.run(name, suite.engine(name), "decode", data))


def avro(suite: Suite) -> Path:
    """The same events as Avro."""
    return suite.events(form="avro")


def check(suite: Suite, folder: Path) -> None:
    """The last row that came out counts everything."""
    files = sorted(str(path) for path in (folder / "data").glob("*.parquet"))
    query = f"SELECT max(n), max(users), max(types) FROM read_parquet({files!r})"
    found = duckdb.connect().execute(query).fetchone()
    if set(found) != {suite.asked.events}:
        raise RuntimeError(f"decoded {found}, expected {suite.asked.events}")
