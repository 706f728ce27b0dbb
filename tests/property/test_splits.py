"""However the input is split into epochs and into partitions, the end is the same.

Each query reads the same rows twice: in one epoch with one partition, and split at random into epochs, with one to eight
partitions, stopped and started at random. In update mode the last row of every key must be the same, in complete mode the
last result, in append mode all rows together: no row is later than the watermark's delay, and a row far in the future
makes everything final. `TIDEMILL_SEEDS=200` tries more seeds; a failure names the seed, and the seed is all there is to it.
"""

from __future__ import annotations

import json
import os
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tidemill import functions as F
from tidemill.dataframe import DataFrame
from tidemill.session import Session

SEEDS = int(os.environ.get("TIDEMILL_SEEDS", "2"))
SCHEMA = "ts TIMESTAMP, k STRING, v BIGINT, d DECIMAL(10,2), side STRING"
START = datetime(2026, 1, 1, 12)
DELAY_MINUTES = 10
ROWS = 60

Frames = dict[str, DataFrame]


@dataclass(frozen=True)
class Question:
    """A query, its output mode, and how many of its first columns are the key of a row in update mode."""

    mode: str
    keys: int
    build: Callable[[DataFrame], DataFrame]


def _marked(frame: DataFrame) -> DataFrame:
    return frame.withWatermark("ts", f"{DELAY_MINUTES} minutes")


def _aggregates() -> list[Any]:
    return [
        F.count("*").alias("n"),
        F.sum("v").alias("s"),
        F.min("v").alias("least"),
        F.max("d").alias("most"),
        F.avg("d").alias("mean"),
        F.expr("count(DISTINCT v)").alias("different"),
        F.expr("sum(v) FILTER (WHERE v > 3)").alias("some"),
        F.sort_array(F.collect_set("v")).alias("set"),
    ]


def _joined(frame: DataFrame, how: str) -> DataFrame:
    left = _marked(frame.filter("side = 'l'").selectExpr("ts", "k AS lk", "v AS lv"))
    right = _marked(
        frame.filter("side = 'r'").selectExpr("ts AS rt", "k AS rk", "v AS rv").selectExpr("rt AS ts", "rk", "rv")
    )
    right = right.withColumnRenamed("ts", "rt")
    left = left.withColumnRenamed("ts", "lt")
    bounds = "lk = rk AND rt >= lt - INTERVAL 5 MINUTES AND rt <= lt + INTERVAL 5 MINUTES"
    return left.join(right, F.expr(bounds), how)


QUESTIONS: dict[str, Question] = {
    "keyed": Question("update", 1, lambda frame: frame.groupBy("k").agg(*_aggregates())),
    "all": Question("update", 0, lambda frame: frame.agg(*_aggregates())),
    "tumbling": Question("update", 2, lambda f: f.groupBy(F.window("ts", "10 minutes"), "k").agg(*_aggregates())),
    "sliding": Question(
        "update", 1, lambda f: f.groupBy(F.window("ts", "10 minutes", "3 minutes")).agg(*_aggregates())
    ),
    "cube": Question(
        "update", 2, lambda frame: frame.cube("k", "side").agg(F.count("*").alias("n"), F.sum("v").alias("s"))
    ),
    "complete": Question("complete", 0, lambda frame: frame.groupBy("k", "side").agg(*_aggregates())),
    "complete windows": Question(
        "complete", 0, lambda f: f.groupBy(F.window("ts", "7 minutes", "2 minutes")).agg(*_aggregates())
    ),
    "ordered": Question("complete", 0, lambda frame: frame.groupBy("v").count().orderBy(F.desc("count"), "v").limit(3)),
    "complete sessions": Question(
        "complete", 0, lambda f: _marked(f).groupBy(F.session_window("ts", "4 minutes"), "k").agg(*_aggregates())
    ),
    "final tumbling": Question(
        "append", 0, lambda f: _marked(f).groupBy(F.window("ts", "10 minutes"), "k").agg(*_aggregates())
    ),
    "final sliding": Question(
        "append", 0, lambda f: _marked(f).groupBy(F.window("ts", "9 minutes", "2 minutes")).agg(*_aggregates())
    ),
    "final sessions": Question(
        "append", 0, lambda f: _marked(f).groupBy(F.session_window("ts", "4 minutes"), "k").agg(*_aggregates())
    ),
    "deduplicated": Question("append", 0, lambda frame: _marked(frame).select("ts", "k").dropDuplicates(["k", "ts"])),
    "join": Question("append", 0, lambda frame: _joined(frame, "inner")),
    "left join": Question("append", 0, lambda frame: _joined(frame, "left_outer")),
    "full join": Question("append", 0, lambda frame: _joined(frame, "full_outer")),
}


def rows_of(draw: random.Random) -> list[dict[str, Any]]:
    """Rows whose times are out of order by less than the delay; the last two, one a side, are far in the future."""
    rows = []
    for number in range(ROWS):
        time = START + timedelta(minutes=number - draw.uniform(0, DELAY_MINUTES - 1))
        time = time.replace(second=draw.choice((0, 30, time.second)), microsecond=0)
        rows.append(
            {
                "ts": time.isoformat() + "Z",
                "k": draw.choice(("a", "b", "c", None)),
                "v": draw.choice((None, *range(-3, 9))),
                "d": str(draw.randrange(-500, 500) / 100),
                "side": draw.choice("lr"),
            }
        )
    future = (START + timedelta(days=2)).isoformat() + "Z"
    return [*rows, *({"ts": future, "k": "future", "v": 0, "d": "0", "side": side} for side in "lr")]


def split(draw: random.Random, rows: list[Any]) -> list[list[Any]]:
    """The rows in epochs of random sizes; the last two are one of their own."""
    cuts = sorted(draw.sample(range(1, len(rows) - 2), draw.randrange(1, 9)))
    edges = [0, *cuts, len(rows) - 2, len(rows)]
    return [rows[one:other] for one, other in zip(edges, edges[1:], strict=False)]


def result(question: Question, epochs: list[list[Any]], partitions: int, stops: set[int], work: Path) -> Counter[str]:
    """What has come out at the end."""
    (work / "in").mkdir(parents=True)
    out: list[list[tuple[Any, ...]]] = []
    with Session(settings={"parallelism": str(partitions)}) as spark:
        frame = question.build(spark.readStream.schema(SCHEMA).json(str(work / "in")))
        query = None
        for number, rows in enumerate(epochs):
            if query is not None and number in stops:
                query.stop()
                query = None
            staged = work / f"{number:03}.json"
            staged.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
            staged.rename(work / "in" / staged.name)
            if query is None:
                writer = frame.writeStream.outputMode(question.mode).foreachBatch(
                    lambda batch, _: out.append([tuple(row) for row in batch.collect()])
                )
                query = writer.option("checkpointLocation", str(work / "checkpoint")).start()
            query.processAllAvailable()
        assert query is not None
        query.stop()
    if question.mode == "complete":
        return Counter(map(repr, [rows for rows in out if rows][-1]))
    if question.mode == "update":
        newest = {repr(row[: question.keys]): repr(row) for rows in out for row in rows}
        return Counter(newest.values())
    return Counter(repr(row) for rows in out for row in rows)


def tries() -> list[tuple[str, int]]:
    """Every question with every seed."""
    return [(name, seed) for name in QUESTIONS for seed in range(SEEDS)]


@pytest.mark.parametrize(("name", "seed"), tries())
def test_the_end_does_not_depend_on_the_split(name: str, seed: int, tmp_path: Path) -> None:
    draw = random.Random(f"{name} {seed}")
    question, rows = QUESTIONS[name], rows_of(draw)
    whole = [rows[:-2], rows[-2:]]
    epochs, partitions = split(draw, rows), draw.randint(1, 8)
    stops = {number for number in range(1, len(epochs)) if draw.random() < 0.3}
    expected = result(question, whole, 1, set(), tmp_path / "whole")
    found = result(question, epochs, partitions, stops, tmp_path / "split")
    assert expected, "nothing came out"
    sizes = [len(epoch) for epoch in epochs]
    told = f"{name}, seed {seed}: epochs of {sizes} rows, {partitions} partitions, stopped before {sorted(stops)}"
    assert found - expected == Counter(), f"{told}: too much"
    assert expected - found == Counter(), f"{told}: missing"
