"""Nexmark's queries on Spark and Flink: what they read, and what their results are for DuckDB."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

HERE = Path(__file__).resolve().parent
KINDS = ("person", "auction", "bid")
# Flink's types as DuckDB's
TYPES = {"STRING": "VARCHAR", "TIMESTAMP_LTZ(3)": "TIMESTAMP"}


def one_file_each(data: Path, last: bool) -> Path:
    """The events in one file of each kind, so that a reader meets them in order; without the last ones, where an engine
    closes its windows at the end of the input by itself."""
    merged = data.with_name(f"{data.name}-{'all' if last else 'final'}")
    if (merged / "complete").exists():
        return merged
    shutil.rmtree(merged, ignore_errors=True)
    for kind in KINDS:
        (merged / kind).mkdir(parents=True)
        parts = sorted((data / kind).glob("*.json"))
        with (merged / kind / "all.json").open("wb") as out:
            for part in parts if last else parts[:-1]:
                out.write(part.read_bytes())
    shutil.copy(data / "side_input.csv", merged)
    (merged / "complete").touch()
    return merged


def needs_last(query: str) -> bool:
    """True when the answer holds the last events too."""
    return "final_" not in (HERE / "expected" / f"{query}.sql").read_text(encoding="utf-8")


def flink_result(query: str, folder: Path) -> str:
    """A query over Flink's JSON files; a changelog is folded into what is left of it."""
    text = (HERE / "flink" / f"{query}.sql").read_text(encoding="utf-8")
    declared = next(line[12:] for line in text.splitlines() if line.startswith("-- columns: "))
    columns = {name.strip("`"): TYPES.get(kind, kind) for name, kind in re.findall(r"(\S+) ([^,]+)(?:, |$)", declared)}
    files = [
        str(path) for path in folder.rglob("*") if path.is_file() and path.name[0] not in "._" and path.stat().st_size
    ]
    fields = ", ".join(f"\"{name}\": '{kind}'" for name, kind in columns.items())
    if "-- changes" not in text:
        return f"SELECT * FROM read_json({files!r}, format = 'newline_delimited', columns = {{{fields}}})"
    row = "STRUCT(" + ", ".join(f'"{name}" {kind}' for name, kind in columns.items()) + ")"
    form = f"columns = {{before: '{row}', after: '{row}', op: 'VARCHAR'}}"
    changes = f"read_json({files!r}, format = 'newline_delimited', {form})"
    names = ", ".join(f'"{name}"' for name in columns)
    if keys := re.search(r"^-- keys: (.*)$", text, re.M):
        newest = f"QUALIFY row_number() OVER (PARTITION BY {keys[1]} ORDER BY line DESC) = 1"
        numbered = f"SELECT after.*, row_number() OVER () AS line FROM {changes} WHERE op = 'c'"
        return f"SELECT {names} FROM (SELECT * FROM ({numbered}) {newest})"
    return (
        f"SELECT {names} FROM (SELECT {names}, unnest(range(CAST(times AS BIGINT))) FROM ("
        f"SELECT {names}, sum(change) AS times FROM ("
        f"SELECT after.*, 1 AS change FROM {changes} WHERE op = 'c' UNION ALL "
        f"SELECT before.*, -1 AS change FROM {changes} WHERE op = 'd') GROUP BY ALL HAVING sum(change) > 0))"
    )
