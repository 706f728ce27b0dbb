"""Writes a case with its answer as a case file: one line a field, one line a batch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FIELDS = (
    "name",
    "group",
    "description",
    "spark_version",
    "schema",
    "static",
    "watermark",
    "query",
    "output_mode",
    "conf",
    "source_options",
    "trigger",
    "restart_before",
    "fail_in_batch",
    "compare",
    "batches",
    "expect_error",
    "expect_error_sql",
    "output_schema",
    "ordered",
    "expected",
    "expected_watermark_ms_after_batch",
    "state_operators",
    "expected_state_rows",
    "late_rows_dropped",
    "has_no_data_batch",
)
ANSWER = {field for field in FIELDS[FIELDS.index("batches") + 1 :] if field != "ordered"} | {"spark_version"}


def with_answer(case: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    """The case with this answer in place of another."""
    kept = {key: value for key, value in case.items() if key not in ANSWER}
    return kept | found | {"spark_version": "4.3.0"}


def text(case: dict[str, Any]) -> str:
    """The file's content."""
    lines = []
    for field in FIELDS:
        value = case.get(field)
        if value is None:
            continue
        if field in ("batches", "expected") and value:
            lines.append(f' "{field}": [\n' + ",\n".join(f"  {one(entry)}" for entry in value) + "\n ]")
        elif field == "query":
            forms = ",\n".join(f'  "{form}": {one(code)}' for form, code in value.items() if code is not None)
            lines.append(f' "query": {{\n{forms}\n }}')
        else:
            lines.append(f' "{field}": {one(value)}')
    return "{\n" + ",\n".join(lines) + "\n}\n"


def one(value: Any) -> str:
    """A value on a line."""
    return json.dumps(value, ensure_ascii=False)


def write(case: dict[str, Any], folder: Path) -> Path:
    """Writes the case to a file of its name."""
    path = folder / f"{case['name']}.json"
    path.write_text(text(case), encoding="utf-8")
    return path
