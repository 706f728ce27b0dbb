"""One pipeline in the making: its streams, what their rows are, and the case that comes of it."""

from __future__ import annotations

import json
import random
import re
from dataclasses import dataclass, field
from typing import Any

from .expressions import Expression, Expressions
from .rows import TYPES, Rows

DELAYS = ("0 seconds", "30 seconds", "2 minutes", "5 minutes", "10 minutes", "1 hour")


@dataclass
class Frame:
    """A relation twice: what stands in FROM, and PySpark code; its columns with their kinds."""

    sql: str
    python: str
    columns: list[tuple[str, str]]
    time: str | None = None
    """The event-time column, when it has a watermark."""


@dataclass
class Query:
    """The whole query, and what it needs of the batches and of the comparison."""

    sql: str | None
    python: str
    modes: tuple[str, ...]
    """Output modes that Spark should take."""
    group: str
    in_order: bool = False
    """The order of rows within a batch decides: a batch is one file then."""
    inexact: bool = False
    ordered: bool = False
    """The order of the result counts."""


@dataclass
class Maker:
    """Draws streams and their rows."""

    draw: random.Random
    rows: Rows
    schema: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    watermark: dict[str, dict[str, str]] = field(default_factory=dict)
    static: dict[str, dict[str, Any]] = field(default_factory=dict)
    skip: frozenset[str] = frozenset()
    """Parts that are drawn and then left out: what a difference does not need. Nothing else changes by it."""
    parts: list[str] = field(default_factory=list)
    """Parts that can be left out."""

    def part(self, name: str) -> bool:
        """True when a part that was just drawn stays."""
        self.parts.append(name)
        return name not in self.skip

    def chance(self, share: float) -> bool:
        """True in this share of cases."""
        return self.draw.random() < share

    def expressions(self, columns: list[tuple[str, str]]) -> Expressions:
        """Expressions over columns."""
        return Expressions(self.draw, columns)

    def condition(self, of: Expressions, depth: int) -> Expression:
        """A condition on a row: one on constants would let Spark leave out what stands below it."""
        condition = of.of("boolean", depth)
        names = {name for name, _ in of.columns}
        if names & set(re.findall(r"[a-z]\w*", condition.sql)) - {"x", "k"} or " k" in condition.sql:
            return condition
        name, _ = self.draw.choice(of.columns)
        return Expression(f"{name} IS NOT NULL", f'F.col("{name}").isNotNull()')

    def stream(self, name: str, columns: list[tuple[str, str]], time: str, *, watermark: float) -> Frame:
        """A stream, with a watermark in this share of cases."""
        self.schema[name] = columns
        if not self.chance(watermark):
            return Frame(name, name, columns)
        delay = self.draw.choice(DELAYS)
        self.watermark[name] = {"column": time, "delay": delay}
        return Frame(name, f"{name}.withWatermark({json.dumps(time)}, {json.dumps(delay)})", columns, time)

    def events(self, *, watermark: float, more: int = 2) -> Frame:
        """The usual stream: a time, a key, a number, and some columns more."""
        kinds = self.draw.sample(sorted(set(TYPES) - {"int"}), self.draw.randint(0, more))
        columns = [("ts", "timestamp"), ("k", "string"), ("v", "int")]
        columns += [(f"c{number}", kind) for number, kind in enumerate(kinds)]
        return self.stream("events", columns, "ts", watermark=watermark)

    def table(self, name: str) -> list[tuple[str, str]]:
        """A static table of keys and two columns."""
        columns = [("k", "string"), ("grade", "int"), ("label", self.draw.choice(("string", "decimal", "date")))]
        content = [[self.rows.key(), self.rows.value("int"), self.rows.value(columns[2][1])] for _ in range(5)]
        self.static[name] = {"schema": [[column, TYPES[of]] for column, of in columns], "rows": content}
        return columns

    def batch_row(self, stream: str) -> list[Any]:
        """A row of a stream."""
        row: list[Any] = []
        for name, kind in self.schema[stream]:
            if name in ("ts", "lt", "rt"):
                row.append(self.rows.event_time())
            elif name in ("k", "id"):
                row.append(self.rows.key())
            else:
                row.append(self.rows.value(kind))
        return row

    def batch(self, *, files: bool) -> dict[str, Any]:
        """A batch: each stream gets rows, an empty file, or nothing; several files when allowed."""
        batch: dict[str, Any] = {}
        self.rows.advance()
        for stream in self.schema:
            chance = self.draw.random()
            if chance < 0.08 and len(self.schema) > 1:
                continue
            count = 0 if chance < 0.12 else self.draw.randint(1, 7)
            content = [self.batch_row(stream) for _ in range(count)]
            if files and self.chance(0.4):
                cut = self.draw.randint(0, count)
                batch[stream] = {"files": [content[:cut], content[cut:]]}
            else:
                batch[stream] = content
        return batch or {next(iter(self.schema)): []}

    def case(self, name: str, query: Query) -> dict[str, Any]:
        """The case, without what is expected."""
        draw = self.draw
        mode = draw.choice(query.modes) if self.chance(0.96) else draw.choice(("append", "update", "complete"))
        case: dict[str, Any] = {
            "name": name,
            "group": query.group,
            "schema": {
                stream: [[column, TYPES[of]] for column, of in columns] for stream, columns in self.schema.items()
            },
            "static": self.static,
            "watermark": self.watermark,
            "query": {"sql": query.sql, "dataframe": query.python},
            "output_mode": mode,
        }
        conf = {}
        if len(self.watermark) > 1 and self.chance(0.3):
            conf["spark.sql.streaming.multipleWatermarkPolicy"] = "max"
        if self.chance(0.06):
            conf["spark.sql.streaming.noDataMicroBatches.enabled"] = "false"
        if self.chance(0.05):
            conf["spark.sql.ansi.enabled"] = "false"
        limited = len(self.schema) == 1 and self.chance(0.2)
        if limited:
            case["source_options"] = {"maxFilesPerTrigger": "1"}
        if self.chance(0.12):
            case["trigger"] = {"mode": "availableNow"}
        count = draw.randint(2, 4)
        case["batches"] = [self.batch(files=limited or not query.in_order) for _ in range(count)]
        if "trigger" not in case and self.chance(0.25):
            case["restart_before"] = {str(draw.randrange(1, count)): "stop and start"}
        if self.chance(0.04):
            case["fail_in_batch"] = [draw.randrange(count)]
        if query.inexact:
            case["compare"] = {"double_rel_tol": 1e-9}
        case["conf"], case["ordered"] = conf, query.ordered
        return {key: value for key, value in case.items() if value not in ({}, None, False) or key == "query"}
