"""Random aggregates."""

from __future__ import annotations

import random
from dataclasses import dataclass

from .expressions import Expression, Expressions

NUMBERS = ("int", "bigint", "smallint", "double", "float", "decimal")
ORDERED = (*NUMBERS, "string", "date", "timestamp", "boolean")


@dataclass(frozen=True)
class Aggregate:
    """A function of one or two arguments."""

    sql: str
    kinds: tuple[str, ...]
    """Kinds its first argument may have."""
    gives: str = ""
    """Kind of the result, when it is one that expressions are made of."""
    in_order: bool = False
    """The order of rows within a batch decides."""
    inexact: bool = False
    weight: int = 1


AGGREGATES = [
    Aggregate("count(*)", ("int",), "bigint", weight=8),
    Aggregate("count({0})", ORDERED, "bigint", weight=4),
    Aggregate("count({0}, {1})", ("string", "int"), "bigint"),
    Aggregate("count_if({1})", ("int",), "bigint", weight=2),
    Aggregate("sum({0})", ("int", "bigint", "smallint"), "bigint", weight=6),
    Aggregate("sum({0})", ("double", "float"), "double", weight=2),
    Aggregate("sum({0})", ("decimal",), "decimal", weight=3),
    Aggregate("avg({0})", ("int", "bigint", "smallint", "double", "float"), "double", weight=5),
    Aggregate("avg({0})", ("decimal",), "decimal", weight=2),
    Aggregate("try_sum({0})", ("int", "bigint"), "bigint"),
    Aggregate("try_avg({0})", ("int", "decimal")),
    Aggregate("min({0})", ORDERED, weight=5),
    Aggregate("max({0})", ORDERED, weight=5),
    Aggregate("max(struct({0}, {1}))", ("int", "string")),
    Aggregate("bool_and({1})", ("int",), "boolean", weight=2),
    Aggregate("bool_or({1})", ("int",), "boolean", weight=2),
    Aggregate("bit_and({0})", ("int", "bigint")),
    Aggregate("bit_or({0})", ("int", "bigint")),
    Aggregate("bit_xor({0})", ("int",), "int"),
    Aggregate("first({0})", ORDERED, in_order=True, weight=2),
    Aggregate("last({0}) IGNORE NULLS", ORDERED, in_order=True),
    Aggregate("last({0})", ("ints", "struct", "map", "string"), in_order=True),
    Aggregate("any_value({0})", ("string", "date"), in_order=True),
    Aggregate("collect_list({0})", ("int", "string", "struct", "date"), in_order=True, weight=3),
    Aggregate("sort_array(collect_set({0}))", ("int", "string", "decimal"), weight=3),
    Aggregate("array_size(collect_set({0}))", ("string", "date"), "int"),
    Aggregate("max_by({0}, {1})", ("int", "string"), in_order=True),
    Aggregate("min_by({0}, {1})", ("string", "struct"), in_order=True),
    Aggregate("stddev({0})", ("int", "double"), inexact=True, weight=2),
    Aggregate("stddev_pop({0})", ("int", "decimal"), inexact=True),
    Aggregate("variance({0})", ("int", "bigint"), inexact=True),
    Aggregate("var_pop({0})", ("float",), inexact=True),
    Aggregate("skewness({0})", ("int",), inexact=True),
    Aggregate("kurtosis({0})", ("int",), inexact=True),
    Aggregate("corr({0}, {2})", ("int",), inexact=True),
    Aggregate("covar_pop({0}, {2})", ("int",), inexact=True),
    Aggregate("covar_samp({0}, {2})", ("int",), inexact=True),
    Aggregate("regr_slope({0}, {2})", ("int",), inexact=True),
    Aggregate("regr_count({0}, {2})", ("int",), "bigint"),
    Aggregate("approx_count_distinct({0})", ("int", "string"), "bigint"),
    Aggregate("percentile({0}, 0.5)", ("int", "double"), "double", inexact=True),
    Aggregate("percentile_approx({0}, 0.5)", ("int", "bigint"), inexact=True),
    Aggregate("percentile_approx({0}, array(0.25, 0.75), 100)", ("int",)),
    Aggregate("median({0})", ("int",), "double"),
    Aggregate("percentile_cont(0.25) WITHIN GROUP (ORDER BY {0})", ("int",), "double"),
    Aggregate("percentile_disc(0.5) WITHIN GROUP (ORDER BY {0})", ("int",), "double"),
    Aggregate("histogram_numeric({0}, 5)", ("int",), inexact=True),
    Aggregate("sum(CASE WHEN {1} THEN {0} ELSE 0 END)", ("int",), "bigint", weight=2),
    Aggregate("sum({0}) + count(*)", ("int",), "bigint"),
    Aggregate("round(avg({0}), 2)", ("double", "int"), "double"),
    Aggregate("coalesce(max({0}), -1)", ("int",), "int"),
]


@dataclass(frozen=True)
class Chosen:
    """An aggregate over expressions, named."""

    name: str
    sql: str
    python: str
    aggregate: Aggregate


def choose(draw: random.Random, expressions: Expressions, name: str, *, in_order: bool) -> Chosen:
    """Any aggregate; those that depend on the order of rows only when it is fixed."""
    fit = [aggregate for aggregate in AGGREGATES if in_order or not aggregate.in_order]
    aggregate = draw.choices(fit, [aggregate.weight for aggregate in fit])[0]
    kind = draw.choice(aggregate.kinds)
    depth = draw.choice((0, 0, 1, 2))
    first = expressions.column(kind) or expressions.of(kind, depth) if depth == 0 else expressions.of(kind, depth)
    second = expressions.of("boolean" if "{1}" in aggregate.sql and "struct" not in aggregate.sql else "int", 1)
    if aggregate.sql in ("count({0}, {1})", "max(struct({0}, {1}))", "max_by({0}, {1})", "min_by({0}, {1})"):
        second = expressions.of("int", 0)
    text = aggregate.sql.format(first.sql, second.sql, expressions.of("int", 0).sql)
    bare = "(" in text and text.endswith(")") and " + " not in text and "coalesce(max" not in text
    if bare and not text.startswith(("sort_array(", "array_size(", "round(", "coalesce(")) and draw.random() < 0.25:
        column = expressions.column("int") or expressions.of("string", 0)
        condition = draw.choice(
            (f"{column.sql} IS NOT NULL", f"{column.sql} IN (1, 2, 3)", expressions.of("boolean", 1).sql)
        )
        text += f" FILTER (WHERE {condition})"
        return Chosen(name, text, Expression.of_sql(text).python, aggregate)
    plain = {"count(*)": 'F.count("*")', "sum({0})": "F.sum({0})", "avg({0})": "F.avg({0})", "min({0})": "F.min({0})"}
    plain |= {"max({0})": "F.max({0})", "collect_list({0})": "F.collect_list({0})", "stddev({0})": "F.stddev({0})"}
    if aggregate.sql in plain and draw.random() < 0.6:
        return Chosen(name, text, plain[aggregate.sql].format(first.python), aggregate)
    return Chosen(name, text, Expression.of_sql(text).python, aggregate)
