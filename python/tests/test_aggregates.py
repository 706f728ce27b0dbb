"""Aggregate functions from Python: the names and values PySpark 4.3 gives their columns."""

from __future__ import annotations

import pytest
from tidemill import Column
from tidemill import functions as F

ROWS = [(1, 10, "a", True), (2, 20, "b", False), (2, None, None, True)]

CASES: list[tuple[Column, str, object]] = [
    (F.std("i"), "std(i)", 0.5773502691896258),
    (F.mean("i"), "avg(i)", 5 / 3),
    (F.percentile_approx("i", [0.1, 0.9], 100), "percentile_approx(i, array(0.1, 0.9), 100)", [1, 2]),
    (F.approx_percentile("i", 0.5), "approx_percentile(i, 0.5, 10000)", 2),
    (F.percentile("l", 0.5), "percentile(l, 0.5, 1)", 15.0),
    (F.percentile("l", [0.5, 0.25], 2), "percentile(l, array(0.5, 0.25), 2)", [15.0, 10.0]),
    (F.mode("i", True), "mode() WITHIN GROUP (ORDER BY i DESC)", 2),
    (F.mode("i"), "mode(i)", 2),
    (F.first_value("i", True), "first_value(i)", 1),
    (F.last("l", True), "last(l)", 20),
    (F.array_agg("l"), "collect_list(l)", [10, 20]),
    (F.listagg("s"), "listagg(s, NULL)", "ab"),
    (F.string_agg("s", ","), "string_agg(s, ,)", "a,b"),
    (F.listagg_distinct("i", "-"), "listagg(DISTINCT i, -)", "1-2"),
    (F.histogram_numeric("i", F.lit(3)), "histogram_numeric(i, 3)", [(1, 1.0), (2, 2.0)]),
    (F.product("i"), "product(i)", 4.0),
    (F.max_by("s", "l"), "max_by(s, l)", "b"),
    (F.max_by("s", "l", 2), "max_by(s, l, 2)", ["b", "a"]),
    (F.approx_count_distinct("i", 0.1), "approx_count_distinct(i)", 2),
    (F.count_distinct("i", "l"), "count(DISTINCT i, l)", 2),
    (F.collect_union(F.array("i")), "collect_union(array(i))", [1, 2]),
    (F.regr_avgx("i", "l"), "regr_avgx(i, l)", 15.0),
    (F.expr("median(l)"), "median(l)", 15.0),
    (
        F.expr("percentile_cont(0.5) WITHIN GROUP (ORDER BY i DESC)"),
        "percentile_cont(0.5) WITHIN GROUP (ORDER BY i DESC)",
        2.0,
    ),
]


@pytest.mark.parametrize(("column", "name", "value"), CASES, ids=[name for _, name, _ in CASES])
def test_name_and_value(spark, column, name, value):
    frame = spark.createDataFrame(ROWS, "i int, l bigint, s string, b boolean").groupBy().agg(column)
    assert frame.columns == [name]
    found = frame.collect()[0][0]
    if isinstance(found, list):
        assert [tuple(item) if isinstance(item, tuple) else item for item in found] == value
    else:
        assert found == pytest.approx(value) if isinstance(value, float) else found == value
