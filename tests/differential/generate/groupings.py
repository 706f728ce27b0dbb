"""Groupings: windows and keys, aggregates, HAVING, ORDER BY."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from .aggregates import Chosen, choose
from .expressions import Expression
from .maker import Frame, Maker, Query

TUMBLING = (
    ("10 minutes",),
    ("5 minutes",),
    ("1 minute",),
    ("90 seconds",),
    ("1 day",),
    ("10 minutes", "10 minutes", "3 minutes"),
)
SLIDING = (
    ("10 minutes", "5 minutes"),
    ("10 minutes", "4 minutes"),
    ("15 minutes", "5 minutes", "2 minutes"),
    ("1 hour", "25 minutes"),
    ("3 minutes", "1 minute"),
    ("7 minutes", "2 minutes", "1 minute"),
)
GAPS = ("5 minutes", "2 minutes", "90 seconds", "20 minutes")


@dataclass(frozen=True)
class Key:
    """Something to group by; `shown` is what a SELECT writes for it."""

    shown: str
    sql: str
    python: str


def window(make: Maker, kind: str, time: str) -> Key:
    """A window over the time column."""
    if kind == "session":
        gap = make.draw.choice(GAPS)
        if make.chance(0.2):
            dynamic = f"CASE WHEN v > 3 THEN '10 minutes' WHEN v < -3 THEN '0 seconds' ELSE '{gap}' END"
            return Key(
                "session_window",
                f"session_window({time}, {dynamic})",
                f'F.session_window("{time}", F.expr("{dynamic}"))',
            )
        return Key("session_window", f"session_window({time}, '{gap}')", f'F.session_window("{time}", "{gap}")')
    arguments = make.draw.choice(TUMBLING if kind == "tumbling" else SLIDING)
    if len(arguments) == 1 and make.chance(0.1):
        arguments = (arguments[0], arguments[0], "30 seconds")
    sql = ", ".join(f"'{argument}'" for argument in arguments)
    python = ", ".join(f'"{argument}"' for argument in arguments)
    return Key("window", f"window({time}, {sql})", f'F.window("{time}", {python})')


def reads_a_column(sql: str, frame: Frame) -> bool:
    """True when the text names a column of the frame."""
    return any(re.search(rf"\b{name}\b", sql) for name in ("v", "k", *(name for name, _ in frame.columns)))


def keys(make: Maker, frame: Frame, kind: str) -> list[Key]:
    """The keys of a grouping of this kind: tumbling, sliding, session, time, keyed, global."""
    draw = make.draw
    found: list[Key] = []
    if kind in ("tumbling", "sliding", "session"):
        found.append(window(make, kind, frame.time or "ts"))
    elif kind == "time":
        found.append(Key(frame.time or "ts", frame.time or "ts", f'"{frame.time or "ts"}"'))
    if kind == "keyed" or kind == "session" or (kind != "global" and make.chance(0.6)):
        if make.chance(0.7):
            found.append(Key("k", "k", '"k"'))
        else:
            of = make.expressions([column for column in frame.columns if column[0] != "ts"])
            kinds = ("string", "int", "boolean", "date", "decimal", "double", "struct", "ints")
            key = of.any(2, draw.choice((kinds, kinds[:3])))
            # Spark fails while it runs a session window beside a constant key
            if not reads_a_column(key.sql, frame):
                key = Expression("v % 3", 'F.col("v") % 3')
            found.append(Key(f"{key.sql} AS key", key.sql, f'({key.python}).alias("key")'))
    return found if make.chance(0.8) else found[::-1]


def grouping(make: Maker, frame: Frame, kind: str, *, in_order: bool = False) -> Query:
    """SELECT keys, aggregates FROM frame GROUP BY keys; `in_order`: the rows of the frame have one order."""
    draw = make.draw
    by = keys(make, frame, kind)
    of = make.expressions(frame.columns)
    in_order = make.chance(0.4) and in_order
    chosen = [choose(draw, of, f"a{number}", in_order=in_order) for number in range(draw.randint(1, 4))]
    chosen = [one for one in chosen if make.part(one.name)] or chosen[:1]
    selected = [key.shown for key in by] + [f"{one.sql} AS {one.name}" for one in chosen]
    sql = f"SELECT {', '.join(selected)} FROM {frame.sql}"
    python = frame.python
    if make.chance(0.3):
        condition = make.condition(of, 2)
        if make.part("condition"):
            sql, python = f"{sql} WHERE {condition.sql}", f"{python}.filter({condition.python})"
    if by:
        sql += f" GROUP BY {', '.join(key.sql for key in by)}"
        python += f".groupBy({', '.join(key.python for key in by)})"
    python += f".agg({', '.join(one.python + f'.alias({json.dumps(one.name)})' for one in chosen)})"
    sql, python = having(make, sql, python, chosen)
    modes = _modes(make, frame, kind)
    ordered = False
    if modes == ("complete",) and make.chance(0.35):
        ordered = True
        sql, python = order(make, sql, python, by, chosen)
    names = [key.shown.split(" AS ")[-1] for key in by] + [one.name for one in chosen]
    sql, python = _outer(make, sql, python, names, by)
    return Query(
        sql,
        f"out = {python}",
        modes,
        {"time": "aggregate", "keyed": "aggregate"}.get(kind, kind),
        in_order=in_order or ordered,
        inexact=of.inexact or any(one.aggregate.inexact for one in chosen),
        ordered=ordered,
    )


def _modes(make: Maker, frame: Frame, kind: str) -> tuple[str, ...]:
    if kind == "session":
        return ("append",) if frame.time and make.chance(0.85) else ("complete",)
    if frame.time and kind in ("tumbling", "sliding", "time"):
        return (make.draw.choice(("append", "append", "update", "complete")),)
    return (make.draw.choice(("update", "update", "complete")),)


def having(make: Maker, sql: str, python: str, chosen: list[Chosen]) -> tuple[str, str]:
    """A condition on an aggregate."""
    numbers = [one for one in chosen if one.aggregate.gives in ("bigint", "double", "decimal", "int")]
    if not numbers or not make.chance(0.25):
        return sql, python
    one = make.draw.choice(numbers)
    test = make.draw.choice(("> 1", ">= 2", "IS NOT NULL", "< 10", "BETWEEN 1 AND 20"))
    name = one.name if make.chance(0.5) else one.sql
    if not make.part("having"):
        return sql, python
    return f"{sql} HAVING {name} {test}", f"{python}.filter({json.dumps(f'{one.name} {test}')})"


def order(make: Maker, sql: str, python: str, by: list[Key], chosen: list[Chosen]) -> tuple[str, str]:
    """ORDER BY all columns, so that there is one order; LIMIT above it."""
    names = [key.shown.split(" AS ")[-1] for key in by] + [one.name for one in chosen if one.aggregate.gives]
    if not names:
        return sql, python
    make.draw.shuffle(names)
    down = [make.chance(0.4) for _ in names]
    sql += " ORDER BY " + ", ".join(
        f"{name}{' DESC' if is_down else ''}" for name, is_down in zip(names, down, strict=True)
    )
    columns = (f'F.col("{name}"){".desc()" if is_down else ""}' for name, is_down in zip(names, down, strict=True))
    python += f".orderBy({', '.join(columns)})"
    if make.chance(0.4):
        sql, python = f"{sql} LIMIT 3", f"{python}.limit(3)"
    return sql, python


def _outer(make: Maker, sql: str, python: str, names: list[str], by: list[Key]) -> tuple[str, str]:
    """Something above the grouping: the window's parts, a renamed column."""
    windows = [key.shown for key in by if key.shown in ("window", "session_window")]
    if "ORDER BY" in sql or not windows or not make.chance(0.4) or not make.part("outer"):
        return sql, python
    w = windows[0]
    others = [name for name in names if name != w]
    start, end = f"{w}.start AS s", f"{w}.end AS e"
    rest = "".join(f", {name}" for name in others)
    texts = [start, end] if make.chance(0.6) or w == "session_window" else [f"window_time({w}) AS t", start]
    code = ", ".join(json.dumps(text) for text in [*texts, *others])
    return f"SELECT {', '.join(texts)}{rest} FROM ({sql})", f"{python}.selectExpr({code})"
