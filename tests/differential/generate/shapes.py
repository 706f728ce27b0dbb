"""The shapes of pipelines: each function draws a query of one shape."""

from __future__ import annotations

import json
from collections.abc import Callable

from .expressions import LITERALS
from .groupings import grouping, window
from .maker import Frame, Maker, Query


def projected(make: Maker, frame: Frame, *, keep: tuple[str, ...] = ()) -> tuple[Frame, bool]:
    """A projection and a filter above a frame; `keep` stay as they are. The flag: inexact functions are in it."""
    of = make.expressions(frame.columns)
    columns = [column for column in frame.columns if column[0] in keep]
    sql, python = [name for name, _ in columns], [f'"{name}"' for name, _ in columns]
    for number in range(make.draw.randint(1, 4 if keep else 6)):
        kind = make.draw.choice(tuple(LITERALS))
        expression, name = of.of(kind, 3), f"x{number}"
        if not make.part(name):
            continue
        sql.append(f"{expression.sql} AS {name}")
        python.append(f'({expression.python}).alias("{name}")')
        columns.append((name, kind))
    text, code = f"SELECT {', '.join(sql)} FROM {frame.sql}", frame.python
    if make.chance(0.4):
        condition = make.condition(of, 2)
        if make.part("inner condition"):
            text, code = f"{text} WHERE {condition.sql}", f"{code}.filter({condition.python})"
    code += f".select({', '.join(python)})"
    return Frame(f"({text})", code, columns, frame.time if frame.time in keep else None), of.inexact


def stateless(make: Maker) -> Query:
    """Projections, filters, now and then rows made of a value."""
    frame, inexact = projected(make, make.events(watermark=0.2, more=7))
    sql, python = frame.sql[1:-1], frame.python
    lists = [name for name, kind in frame.columns if kind in ("ints", "strings")]
    if lists and make.chance(0.5) and make.part("explode"):
        name = make.draw.choice(lists)
        function = make.draw.choice(("explode", "explode_outer"))
        sql = f"SELECT {frame.columns[0][0]}, {function}({name}) AS one FROM {frame.sql}"
        python += f'.select("{frame.columns[0][0]}", F.{function}("{name}").alias("one"))'
    limited = make.chance(0.06)
    if limited:
        sql, python = f"{sql} LIMIT 5", f"{python}.limit(5)"
    modes = ("append",) if limited else ("append", "append", "update")
    return Query(sql, f"out = {python}", modes, "stateless", in_order=limited, inexact=inexact)


def unnamed(make: Maker) -> Query:
    """A projection whose columns have the names that Spark gives them."""
    frame = make.events(watermark=0.0, more=5)
    of = make.expressions(frame.columns)
    chosen = [of.any(make.draw.choice((1, 1, 2))) for _ in range(make.draw.randint(2, 5))]
    kept = [one for number, one in enumerate(chosen) if make.part(f"item {number}")] or chosen[:1]
    sql = f"SELECT {', '.join(one.sql for one in kept)} FROM events"
    return Query(
        sql,
        f"out = events.select({', '.join(one.python for one in kept)})",
        ("append",),
        "stateless",
        inexact=of.inexact,
    )


def grouped(kind: str) -> Callable[[Maker], Query]:
    """A grouping of a kind, now and then above a projection."""

    def draw(make: Maker) -> Query:
        share = {"tumbling": 0.8, "sliding": 0.8, "session": 0.9, "time": 0.9}.get(kind, 0.3)
        frame = make.events(watermark=share)
        inexact = False
        if make.chance(0.25):
            frame, inexact = projected(make, frame, keep=("ts", "k", "v"))
        query = grouping(make, frame, kind, in_order=True)
        query.inexact |= inexact
        return query

    return draw


def deduplicated(make: Maker) -> Query:
    """dropDuplicates of all kinds; they have a SQL form only as DISTINCT, which is another thing."""
    frame = make.events(watermark=0.8, more=1)
    within = frame.time is not None and make.chance(0.4)
    function = "dropDuplicatesWithinWatermark" if within else "dropDuplicates"
    keys = make.draw.choice((["k"], ["k", "v"], ["k", "ts"], ["ts"], ["v"], []))
    code = f"{frame.python}.{function}({json.dumps(keys) if keys else ''})"
    if make.chance(0.3):
        condition = make.condition(make.expressions(frame.columns), 1)
        code += f".filter({condition.python})"
    if make.chance(0.15) and not within:
        code += '.groupBy("k").count()'
        return Query(None, f"out = {code}", ("complete",), "dedup", in_order=True)
    return Query(None, f"out = {code}", ("append", "append", "update"), "dedup", in_order=True)


def with_table(make: Maker) -> Query:
    """A join with a static table, now and then with a grouping above."""
    frame, columns = make.events(watermark=0.6, more=1), make.table("grades")
    how, words = make.draw.choice(
        (("inner", "JOIN"), ("left", "LEFT JOIN"), ("left_semi", "LEFT SEMI JOIN"), ("left_anti", "LEFT ANTI JOIN"))
    )
    more = make.draw.choice(("", " AND s.grade > 2", " AND e.v >= s.grade", " AND s.label IS NOT NULL"))
    shown = ["e.ts", "e.k", "e.v"] + (["s.grade", "s.label"] if how in ("inner", "left") else [])
    text = f"SELECT {', '.join(shown)} FROM {frame.sql} e {words} grades s ON e.k = s.k{more}"
    code = f'{frame.python}.alias("e").join(grades.alias("s"), F.expr("e.k = s.k{more}"), "{how}")'
    code += f".select({', '.join(json.dumps(name) for name in shown)})"
    if make.chance(0.4):
        kinds = [("ts", "timestamp"), ("k", "string"), ("v", "int")]
        kinds += [("grade", "int"), columns[2]] if how in ("inner", "left") else []
        kind = make.draw.choice(("tumbling", "keyed"))
        query = grouping(make, Frame(f"({text})", code, kinds, frame.time), kind)
        query.group = "stream_static"
        return query
    return Query(text, f"out = {code}", ("append", "update"), "stream_static")


def united(make: Maker) -> Query:
    """Two streams in one, each with its own watermark."""
    columns = [("ts", "timestamp"), ("k", "string"), ("v", "int")]
    one = make.stream("events", columns, "ts", watermark=0.85)
    other = make.stream("more", columns, "ts", watermark=0.85 if one.time else 0.0)
    time = one.time if one.time and other.time else None
    if make.chance(0.2):
        other = Frame(
            "(SELECT ts, upper(k) AS k, v * 2 AS v FROM more)",
            f'{other.python}.selectExpr("ts", "upper(k) AS k", "v * 2 AS v")',
            columns,
        )
    text = f"(SELECT * FROM {one.sql} UNION ALL SELECT * FROM {other.sql})"
    frame = Frame(text, f"{one.python}.union({other.python})", columns, time)
    if make.chance(0.2):
        return Query(text[1:-1], f"out = {frame.python}", ("append", "update"), "watermark_policy")
    query = grouping(make, frame, make.draw.choice(("tumbling", "sliding", "session", "keyed")))
    query.group = "watermark_policy"
    return query


BOUNDS = (
    "rt >= lt AND rt <= lt + INTERVAL 5 MINUTES",
    "rt BETWEEN lt - INTERVAL 2 MINUTES AND lt + INTERVAL 10 MINUTES",
    "rt > lt AND rt < lt + INTERVAL 90 SECONDS",
    "lt >= rt - INTERVAL 3 MINUTES AND lt <= rt + INTERVAL 3 MINUTES",
    "rt - lt <= INTERVAL 5 MINUTES AND rt >= lt",
    "rt <= lt + INTERVAL 1 HOUR AND rt >= lt - INTERVAL 1 HOUR",
)


def joined(make: Maker, *, chained: bool = False) -> Query:
    """Two streams joined on a key and times."""
    left = make.stream("l", [("id", "string"), ("lt", "timestamp"), ("lv", "int")], "lt", watermark=0.92)
    right = make.stream("r", [("id", "string"), ("rt", "timestamp"), ("rv", "int")], "rt", watermark=0.92)
    draw = make.draw
    how, words = draw.choice(
        (
            ("inner", "JOIN"),
            ("inner", "JOIN"),
            ("left_outer", "LEFT OUTER JOIN"),
            ("right_outer", "RIGHT OUTER JOIN"),
            ("full_outer", "FULL OUTER JOIN"),
            ("left_semi", "LEFT SEMI JOIN"),
        )
    )
    key = "l.id = r.id"
    if how == "full_outer":
        key += " AND l.id IS NOT NULL AND r.id IS NOT NULL"
    time = draw.choice((*BOUNDS, *BOUNDS, "lt = rt"))
    if how == "inner" and make.chance(0.15):
        time = "true"
    more = draw.choice(("", "", " AND lv > 0", " AND rv <= lv", " AND rv IS NOT NULL"))
    condition = f"{key} AND {time}{more}"
    shown = ["l.id", "lt", "lv"] + ([] if how == "left_semi" else ["rt", "rv"])
    text = f"SELECT {', '.join(shown)} FROM l {words} r ON {condition}"
    code = f'{left.python}.alias("l").join({right.python}.alias("r"), F.expr("{condition}"), "{how}")'
    code += f".select({', '.join(json.dumps(name) for name in shown)})"
    if chained:
        kinds = [("id", "string"), ("lt", "timestamp"), ("v", "int")]
        text = f"(SELECT l.id AS k, lt, lv AS v{text[text.index(' FROM') :]})"
        code = f'{code}.selectExpr("id AS k", "lt", "lv AS v")'
        kinds[0] = ("k", "string")
        query = grouping(make, Frame(text, code, kinds, "lt"), draw.choice(("tumbling", "sliding", "session")))
        query.group, query.modes = "chained", ("append",)
        return query
    if make.chance(0.2) and how != "left_semi":
        text += " WHERE lv IS NOT NULL"
        code += '.filter("lv IS NOT NULL")'
    return Query(text, f"out = {code}", ("append", "append", "update") if how == "inner" else ("append",), "join")


def window_joined(make: Maker) -> Query:
    """Two streams joined on equal windows."""
    left = make.stream("l", [("id", "string"), ("lt", "timestamp"), ("lv", "int")], "lt", watermark=0.95)
    right = make.stream("r", [("id", "string"), ("rt", "timestamp"), ("rv", "int")], "rt", watermark=0.95)
    size = make.draw.choice(("5 minutes", "10 minutes"))
    how, words = make.draw.choice((("inner", "JOIN"), ("left_outer", "LEFT JOIN"), ("left_semi", "LEFT SEMI JOIN")))
    shown = ["l.id", "l.w", "lv"] + ([] if how == "left_semi" else ["rv"])
    text = (
        f"SELECT {', '.join(shown)} FROM (SELECT id, window(lt, '{size}') AS w, lv FROM l) l "
        f"{words} (SELECT id, window(rt, '{size}') AS w, rv FROM r) r ON l.id = r.id AND l.w = r.w"
    )
    one = f'{left.python}.select("id", F.window("lt", "{size}").alias("w"), "lv").alias("l")'
    other = f'{right.python}.select("id", F.window("rt", "{size}").alias("w"), "rv").alias("r")'
    code = f'{one}.join({other}, F.expr("l.id = r.id AND l.w = r.w"), "{how}")'
    code += f".select({', '.join(json.dumps(name) for name in shown)})"
    return Query(text, f"out = {code}", ("append",), "join")


def chained(make: Maker) -> Query:
    """A grouping above another stateful operator."""
    if make.chance(0.4):
        return joined(make, chained=True)
    frame = make.events(watermark=1.0, more=0)
    kind = make.draw.choice(("tumbling", "sliding", "session"))
    first = window(make, kind, "ts")
    inner = f"(SELECT {first.sql} AS w, k, count(*) AS n, sum(v) AS v FROM {frame.sql} GROUP BY {first.sql}, k)"
    if kind == "session":
        inner = f"(SELECT session_window AS w, k, count(*) AS n, sum(v) AS v FROM {frame.sql} GROUP BY {first.sql}, k)"
    code = f'{frame.python}.groupBy({first.python}.alias("w"), "k").agg(F.count("*").alias("n"), F.sum("v").alias("v"))'
    size = make.draw.choice(("30 minutes", "1 hour", "15 minutes"))
    text = f"SELECT window, sum(n) AS n, max(v) AS v FROM {inner} GROUP BY window(w, '{size}')"
    code += f'.groupBy(F.window("w", "{size}")).agg(F.sum("n").alias("n"), F.max("v").alias("v"))'
    if kind == "session":
        text = f"SELECT window, sum(n) AS n, max(v) AS v FROM {inner} GROUP BY window(window_time(w), '{size}')"
        code = code.replace(f'F.window("w", "{size}")', f'F.window(F.window_time("w"), "{size}")')
    return Query(text, f"out = {code}", ("append",), "chained")


SHAPES: list[tuple[str, Callable[[Maker], Query], int]] = [
    ("stateless", stateless, 26),
    ("unnamed", unnamed, 5),
    ("tumbling", grouped("tumbling"), 16),
    ("sliding", grouped("sliding"), 9),
    ("session", grouped("session"), 9),
    ("keyed", grouped("keyed"), 9),
    ("global", grouped("global"), 4),
    ("time", grouped("time"), 3),
    ("dedup", deduplicated, 9),
    ("table", with_table, 8),
    ("union", united, 7),
    ("join", joined, 14),
    ("windows", window_joined, 4),
    ("chained", chained, 5),
]
"""Name, function, and how often it comes."""
