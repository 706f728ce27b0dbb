"""Random values and rows: small pools with NULLs, so that keys meet; event times around a moving front."""

from __future__ import annotations

import datetime
import random
from typing import Any

TYPES = {
    "int": "int",
    "bigint": "bigint",
    "smallint": "smallint",
    "double": "double",
    "float": "float",
    "decimal": "decimal(10,2)",
    "boolean": "boolean",
    "string": "string",
    "date": "date",
    "timestamp": "timestamp",
    "ints": "array<int>",
    "strings": "array<string>",
    "map": "map<string,int>",
    "struct": "struct<a:int,b:string>",
}
"""Kinds of columns and their types."""

WORDS = ("a", "b", "c", "ab", "Ab ", " x", "", "hello world", "B2-77", "äöü", "a,b,c", "12", "2024-01-05", "zz%_")
NULL_SHARE = 0.12
START = datetime.datetime(2024, 1, 1, 12, 0, 0)


class Rows:
    """Rows of one pipeline. `wild` adds the largest and smallest numbers, which make arithmetic overflow."""

    def __init__(self, draw: random.Random, *, wild: bool) -> None:
        self.draw, self.wild = draw, wild
        self.front = 0.0

    def advance(self) -> None:
        """The front of event time moves on: now and then not at all, now and then far."""
        self.front += self.draw.choice((0, 2, 5, 7, 12, 20, 45))

    def event_time(self) -> str | None:
        """Mostly near the front, some late, some exactly on a minute, a few before 1970, a few NULL."""
        draw = self.draw
        chance = draw.random()
        if chance < 0.05:
            return None
        if chance < 0.06:
            return instant(datetime.datetime(1969, 12, 31, 23, draw.randrange(60), 30))
        minutes = self.front + draw.choice((0, 0, 1, 2, 3, 4, 5, -1, -3, -8, -15, -30, 9))
        seconds = draw.choice((0, 0, 0, 15, 30, 59.999999, 0.000001, 12.345, 12.345678))
        return instant(START + datetime.timedelta(minutes=minutes, seconds=seconds))

    def value(self, kind: str) -> Any:
        """A value, NULL now and then."""
        return None if self.draw.random() < NULL_SHARE else self.some(kind)

    def some(self, kind: str) -> Any:
        """A value that is not NULL."""
        draw = self.draw
        extreme = self.wild and draw.random() < 0.15
        match kind:
            case "int":
                return draw.choice((2147483647, -2147483648)) if extreme else draw.randint(-6, 12)
            case "bigint":
                return draw.choice((2**63 - 1, -(2**63))) if extreme else draw.randint(-30, 30) * 1000
            case "smallint":
                return draw.choice((32767, -32768)) if extreme else draw.randint(-9, 9)
            case "double":
                return draw.choice((0.0, -0.0, 0.25, 1.5, -2.75, 3.0, 100.0, 7.125, "NaN", "Infinity"))
            case "float":
                return draw.choice((0.0, 0.5, 1.25, -3.75, 16.0))
            case "decimal":
                return "99999999.99" if extreme else f"{draw.randint(-500, 2000) / 100:.2f}"
            case "boolean":
                return draw.random() < 0.5
            case "string":
                return draw.choice(WORDS)
            case "date":
                return (datetime.date(2023, 12, 28) + datetime.timedelta(days=draw.randrange(70))).isoformat()
            case "timestamp":
                return instant(
                    START + datetime.timedelta(seconds=draw.randrange(-90000, 9000000) + draw.choice((0, 0.5)))
                )
            case "ints":
                return [self.value("int") for _ in range(draw.randrange(4))]
            case "strings":
                return [self.value("string") for _ in range(draw.randrange(4))]
            case "map":
                keys = sorted(draw.sample(("a", "b", "c", "d"), draw.randrange(4)))
                return [[key, self.value("int")] for key in keys]
            case "struct":
                return {"a": self.value("int"), "b": self.value("string")}
        raise ValueError(f"there is no kind {kind}")

    def key(self) -> str | None:
        """A key of a few, NULL now and then."""
        return self.draw.choice(("a", "b", "c", "d", None)) if self.draw.random() < 0.5 else self.draw.choice("ab")


def instant(time: datetime.datetime) -> str:
    """A time as case files write it."""
    return time.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
