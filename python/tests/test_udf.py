"""Functions of the user's own: what they are given, what they may give, what is said when they fail."""

from __future__ import annotations

import datetime
import decimal
from collections.abc import Iterator
from typing import ClassVar

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from feeding import Feed
from tidemill import Row
from tidemill import functions as F
from tidemill.errors import (
    PySparkImportError,
    PySparkTypeError,
    PySparkValueError,
    SparkRuntimeException,
    StreamingQueryException,
)


@pytest.fixture
def rows(spark):
    return spark.createDataFrame([(1, "a"), (2, None), (None, "c")], "x INT, s STRING")


@F.udf("int")
def plus(a, b=1):
    return None if a is None else a + b


def test_a_function_of_values(rows):
    shown = rows.select("x", plus("x"), plus(F.col("x"), F.lit(3)), plus("x", b=F.lit(5)))
    assert shown.columns == ["x", "plus(x)", "plus(x, 3)", "plus(x, 5)"]
    assert [tuple(row) for row in shown.collect()] == [(1, 2, 4, 6), (2, 3, 5, 7), (None, None, None, None)]
    assert rows.select(F.udf(lambda x: x, "int")("x")).columns == ["<lambda>(x)"]
    assert rows.filter(plus("x") > 2).count() == 1


def test_every_type_goes_there_and_comes_back(spark):
    ddl = (
        "b BOOLEAN, i TINYINT, l BIGINT, d DOUBLE, f FLOAT, s STRING, y BINARY, n DECIMAL(10,2), t DATE, "
        "z TIMESTAMP, a ARRAY<INT>, m MAP<STRING, INT>, r STRUCT<p: INT, q: ARRAY<STRING>>"
    )
    values = (
        True, 3, 1 << 40, 2.5, 0.5, "text", b"bytes", decimal.Decimal("1.25"), datetime.date(2026, 1, 2),
        datetime.datetime(2026, 1, 2, 3, 4, 5, 6), [1, None], {"k": 1}, Row(p=1, q=["x", None]),
    )  # fmt: skip
    frame = spark.createDataFrame([values, (None,) * 13], ddl)
    for field in frame.schema:
        same = F.udf(lambda value: value, field.dataType)
        found = [row[0] for row in frame.select(same(field.name)).collect()]
        given = [row[0] for row in frame.select(field.name).collect()]
        assert found == given, field.name


@pytest.mark.parametrize(
    ("ddl", "given", "expected"),
    [
        # as PySpark 4.3 gives them with Arrow
        ("int", 1.5, 1),
        ("int", "12", 12),
        ("int", decimal.Decimal("1.25"), 1),
        ("boolean", 1, True),
        ("double", True, 1.0),
        ("float", "12", 12.0),
        ("string", 1, "1"),
        ("string", True, "true"),
        ("decimal(5,1)", decimal.Decimal("1.25"), decimal.Decimal("1.3")),
        ("date", datetime.datetime(2026, 1, 2, 3), datetime.date(2026, 1, 2)),
        ("array<int>", (1, 2), [1, 2]),
        ("struct<a: int, b: string>", {"b": "z", "a": 1}, Row(a=1, b="z")),
        ("struct<a: int, b: string>", Row(b="z", a=1), Row(a=1, b="z")),
        ("struct<a: int, b: string>", (1, "z"), Row(a=1, b="z")),
    ],
)
def test_results_become_the_type_they_are_said_to_have(rows, ddl, given, expected):
    assert rows.select(F.udf(lambda x: given, ddl)("x")).first()[0] == expected


@pytest.mark.parametrize(
    ("ddl", "given"),
    [
        ("int", "x"),
        ("int", True),
        ("int", 1 << 40),
        ("int", float("nan")),
        ("boolean", "x"),
        ("date", "2026-01-01"),
        ("timestamp", datetime.date(2026, 1, 1)),
        ("decimal(3,1)", decimal.Decimal("100")),
        ("array<int>", {"a": 1}),
        ("struct<a: int>", 5),
        ("struct<a: int, b: int>", (1,)),
    ],
)
def test_a_result_that_does_not_fit_fails(rows, ddl, given):
    with pytest.raises(SparkRuntimeException, match="PYTHON_EXCEPTION") as failure:
        rows.select(F.udf(lambda x: given, ddl)("x")).collect()
    assert "<lambda>" in str(failure.value)


def test_an_exception_tells_the_function_and_the_line_and_is_cut(rows):
    def boom(x):
        raise ValueError("long " * 1000)

    with pytest.raises(SparkRuntimeException) as failure:
        rows.select(F.udf(boom, "int")("x")).collect()
    text = str(failure.value)
    assert "the Python function boom failed: ValueError: long" in text
    assert "test_udf.py" in text and "in boom" in text
    assert len(text) < 1800


def test_a_failure_ends_a_stream_and_nothing_is_committed(spark, tmp_path):
    feed = Feed(spark, tmp_path)
    with pytest.raises(StreamingQueryException, match="ZeroDivisionError") as failure:
        feed.run(lambda frame: frame.select(F.udf(lambda x: 1 / 0, "int")("v").alias("e")), [[("a", 1, "01")]])
    assert failure.value.getCondition() == "PYTHON_EXCEPTION"
    assert isinstance(failure.value.__cause__, ZeroDivisionError)
    assert feed.epochs == {}


def test_functions_of_series(rows):
    @F.pandas_udf("double")
    def half(x: pd.Series) -> pd.Series:
        return x / 2

    @F.pandas_udf("string")
    def joined(parts: Iterator[tuple[pd.Series, pd.Series]]) -> Iterator[pd.Series]:
        for x, s in parts:
            yield s.fillna("?") + x.fillna(0).astype(int).astype(str)

    @F.pandas_udf("struct<n: bigint, s: string>")
    def both(x: pd.Series, s: pd.Series) -> pd.DataFrame:
        return pd.DataFrame({"n": x.fillna(-1).astype(int), "s": s})

    shown = rows.select(half("x"), joined("x", "s"), both("x", "s"))
    assert [tuple(row) for row in shown.collect()] == [
        (0.5, "a1", Row(n=1, s="a")),
        (1.0, "?2", Row(n=2, s=None)),
        (None, "c0", Row(n=-1, s="c")),
    ]


def test_functions_of_arrays(rows):
    @F.arrow_udf("bigint")
    def tens(x: pa.Array) -> pa.Array:
        return pc.multiply(x, 10)

    @F.arrow_udf("bigint")
    def short(x: pa.Array) -> pa.Array:
        return x.slice(1)

    assert [row[0] for row in rows.select(tens("x")).collect()] == [10, 20, None]
    with pytest.raises(SparkRuntimeException, match="gave 2 values for 3 rows"):
        rows.select(short("x")).collect()


def test_sql_knows_registered_functions(spark, rows):
    rows.createOrReplaceTempView("t")
    spark.udf.register("plus_one", plus)
    spark.udf.register("upper", lambda text: "mine", "string")
    found = spark.sql("SELECT plus_one(x, 7) AS p, UPPER(s) AS u FROM t WHERE plus_one(x) > 2").collect()
    assert [tuple(row) for row in found] == [(9, "mine")]
    assert [tuple(row) for row in rows.select(F.call_udf("plus_one", "x"), F.expr("plus_one(x, 2)")).collect()] == [
        (2, 3),
        (3, 4),
        (None, None),
    ]
    with pytest.raises(PySparkTypeError, match="returnType already"):
        spark.udf.register("again", plus, "int")


def test_a_package_that_is_missing_is_named(monkeypatch, rows):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for make in (
        lambda: F.pandas_udf("int"),
        lambda: F.arrow_udf("int"),
        lambda: F.udaf(Spread()),
        lambda: rows.mapInArrow(iter, "x INT"),
        lambda: rows.groupBy("x").transformWithStateInPandas(None, "x INT", "append", "none"),
    ):
        with pytest.raises(PySparkImportError, match="pip install 'tidemill"):
            make()


def test_a_function_that_is_not_deterministic_is_called_for_each_row(rows):
    calls = []
    counted = F.udf(lambda: calls.append(1) or len(calls), "int").asNondeterministic()
    assert [row[0] for row in rows.select(counted()).collect()] == [1, 2, 3]


def test_wrong_functions_are_refused_when_they_are_made():
    with pytest.raises(PySparkTypeError, match="takes a function"):
        F.udf(3, "int")
    with pytest.raises(PySparkValueError, match="type hints"):
        F.pandas_udf(lambda: 0, "int") and F.pandas_udf("int")(_no_columns)


def _no_columns(x: int) -> int:
    return x


def test_whole_batches(rows):
    def doubled(frames):
        for frame in frames:
            yield pd.concat([frame, frame])[["s", "x"]]

    def first(batches):
        for batch in batches:
            yield batch.slice(0, 1)

    assert sorted(map(str, rows.mapInPandas(doubled, "x INT, s STRING").collect())) == sorted(
        map(str, rows.collect() * 2)
    )
    assert [tuple(row) for row in rows.mapInArrow(first, rows.schema).collect()] == [(1, "a")]


class Spread(F.Aggregate):
    """Greatest less least value."""

    state: ClassVar[str] = "low DOUBLE, high DOUBLE"
    result: ClassVar[str] = "double"

    def zero(self):
        return (None, None)

    def update(self, state, values):
        bounds = pc.min_max(values).as_py()
        return self.merge(state, (bounds["min"], bounds["max"]))

    def merge(self, left, right):
        lows = [low for low in (left[0], right[0]) if low is not None]
        highs = [high for high in (left[1], right[1]) if high is not None]
        return (min(lows, default=None), max(highs, default=None))

    def finish(self, state):
        return None if state[0] is None else state[1] - state[0]


@F.pandas_udf("double")
def middle(values: pd.Series) -> float:
    return values.median()


@pytest.mark.parametrize("aggregate", [F.udaf(Spread()), middle], ids=["folded", "gathered"])
def test_aggregates_in_sliding_windows_over_restarts(spark, tmp_path, aggregate):
    events = [("a", number % 7, number) for number in range(40)]
    results = []
    for restart in (False, True):
        seen, source = {}, tmp_path / f"in-{restart}"
        source.mkdir()
        frame = spark.readStream.schema("k STRING, v DOUBLE, ts TIMESTAMP").option("maxFilesPerTrigger", 1)
        frame = frame.json(str(source)).groupBy(F.window("ts", "10 seconds", "5 seconds"), "k")

        def take(batch, number, seen=seen):
            seen.update({(row.window.start, row.k): row.r for row in batch.collect()})

        query = None
        for part in range(4):
            if query is None or restart:
                writer = frame.agg(aggregate("v").alias("r")).writeStream.outputMode("update").foreachBatch(take)
                query = writer.option("checkpointLocation", str(tmp_path / f"checkpoint-{restart}")).start()
            lines = [
                f'{{"k": "{k}", "v": {v}, "ts": "2026-01-01T00:00:{at:02}Z"}}'
                for k, v, at in events[part * 10 : part * 10 + 10]
            ]
            (source / f".{part}").write_text("\n".join(lines))
            (source / f".{part}").rename(source / f"{part}.json")
            query.processAllAvailable()
            if restart:
                query.stop()
        query.stop()
        results.append(seen)
    assert results[0] == results[1]
    start = datetime.datetime(2026, 1, 1)
    values = [v for _, v, at in events if 5 <= at < 15]
    expected = max(values) - min(values) if aggregate is not middle else pd.Series(values, dtype=float).median()
    assert results[0][start + datetime.timedelta(seconds=5), "a"] == expected


def test_aggregates_from_sql(spark, rows):
    rows.createOrReplaceTempView("t")
    spark.udf.register("spread", F.udaf(Spread()))
    spark.udf.register("middle", middle)
    found = spark.sql("SELECT spread(CAST(x AS DOUBLE)), middle(x) AS m, 'spread(x)' AS t FROM t")
    assert found.columns[1:] == ["m", "t"]
    assert tuple(found.first()) == (1.0, 1.5, "spread(x)")
