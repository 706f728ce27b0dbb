"""Reads what programs of others see: Delta tables, and the files that a files sink has published.

Must not know the pipelines.
"""

import json
from pathlib import Path

import events
from deltalake import DeltaTable
from pyarrow import Table, concat_tables, parquet


def published(directory: Path) -> Table | None:
    """The rows of the files that the manifests of a files sink name, and of no others; `None` for none."""
    tables = []
    for manifest in sorted((directory / "_tidemill" / "log").glob("*.json")):
        for file in json.loads(manifest.read_text(encoding="utf-8"))["files"]:
            tables.append(parquet.read_table(directory / file["name"]))
    return concat_tables(tables) if tables else None


def delta(path: Path) -> Table:
    """The rows of a Delta table as `deltalake` reads them, without threads: they abort a process that ends soon."""
    return DeltaTable(path).to_pyarrow_dataset().to_table(use_threads=False)


def rows(table: Table) -> list[tuple]:
    """The rows of an Arrow table as the oracle writes them: times in milliseconds since 1970."""
    columns = []
    for name in events.COLUMNS:
        column = table[name].to_pylist()
        if name in ("opened", "closed"):
            column = [round(time.timestamp() * 1000) for time in column]
        columns.append(column)
    return list(zip(*columns, strict=True))
