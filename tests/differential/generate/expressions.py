"""Random expressions over columns, as SQL and as PySpark code."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass

from .scalars import SCALARS

MORE_DEPTH = 0.45


@dataclass(frozen=True)
class Expression:
    """One expression twice."""

    sql: str
    python: str

    @staticmethod
    def of_sql(text: str) -> Expression:
        """What PySpark reads as text too."""
        return Expression(text, f"F.expr({json.dumps(text, ensure_ascii=False)})")


LITERALS = {
    "int": ("0", "1", "2", "5", "-3"),
    "bigint": ("0L", "7L", "1000L"),
    "smallint": ("2S", "CAST(3 AS SMALLINT)"),
    "double": ("0.5D", "1D", "-2.25D", "1e2"),
    "float": ("CAST(0.5 AS FLOAT)",),
    "decimal": ("1.50", "0.1", "20"),
    "boolean": ("true", "false"),
    "string": ("'a'", "'b'", "'x,y'", "''", "'Hello'"),
    "date": ("DATE '2024-01-03'", "DATE '2024-02-29'"),
    "timestamp": ("TIMESTAMP '2024-01-01 12:05:00'", "TIMESTAMP '2024-01-31 23:59:59.5'"),
    "ints": ("array(1, 2, NULL)", "array(3, 1, 2)"),
    "strings": ("array('a', 'b')", "split('a-b-c', '-')"),
    "map": ("map('a', 1, 'z', 26)",),
    "struct": ("named_struct('a', 1, 'b', 'y')",),
}


class Expressions:
    """Expressions over given columns: (name, kind)."""

    def __init__(self, draw: random.Random, columns: list[tuple[str, str]]) -> None:
        self.draw, self.columns = draw, columns
        self.inexact = False
        """Set when a function was used whose last digits depend on the mathematics library."""

    def column(self, kind: str) -> Expression | None:
        """A column of the kind."""
        names = [name for name, of in self.columns if of == kind]
        if not names:
            return None
        name = self.draw.choice(names)
        return Expression(name, f'F.col("{name}")')

    def of(self, kind: str, depth: int = 2) -> Expression:
        """Any expression of the kind; at least one column is used when there is one of the kind."""
        column = self.column(kind)
        if depth == 0 or (column is not None and self.draw.random() > MORE_DEPTH):
            if column is not None and self.draw.random() < 0.9:
                return column
            return Expression.of_sql(self.draw.choice(LITERALS[kind]))
        if self.draw.random() < 0.1:
            return self.conditional(kind, depth)
        scalar = self.draw.choice([scalar for scalar in SCALARS if scalar.gives == kind])
        arguments = [self.of(of, depth - 1) for of in scalar.takes]
        self.inexact |= scalar.inexact
        sql = scalar.sql.format(*(argument.sql for argument in arguments))
        if scalar.python and self.draw.random() < 0.6:
            return Expression(sql, scalar.python.format(*(argument.python for argument in arguments)))
        return Expression.of_sql(sql)

    def conditional(self, kind: str, depth: int) -> Expression:
        """CASE, if, coalesce, nullif: of every kind."""
        condition = self.of("boolean", depth - 1)
        one, other = self.of(kind, depth - 1), self.of(kind, depth - 1)
        if kind == "decimal":
            return Expression.of_sql(f"coalesce({one.sql}, {other.sql})")
        return self.draw.choice(
            (
                Expression(
                    f"CASE WHEN {condition.sql} THEN {one.sql} ELSE {other.sql} END",
                    f"F.when({condition.python}, {one.python}).otherwise({other.python})",
                ),
                Expression.of_sql(f"CASE WHEN {condition.sql} THEN {one.sql} END"),
                Expression.of_sql(f"if({condition.sql}, {one.sql}, {other.sql})"),
                Expression(f"coalesce({one.sql}, {other.sql})", f"F.coalesce({one.python}, {other.python})"),
            )
        )

    def any(self, depth: int = 2, kinds: tuple[str, ...] = tuple(LITERALS)) -> Expression:
        """An expression of any of the kinds."""
        return self.of(self.draw.choice(kinds), depth)
