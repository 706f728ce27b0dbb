"""What the DataFrame API builds: the plan as the engine reads it."""

from __future__ import annotations

import datetime
import decimal

import pytest
from frames import stream
from tidemill import functions as F
from tidemill.column import Column
from tidemill.errors import AnalysisException, ParseException, PySparkTypeError, PySparkValueError
from tidemill.window import Window

TABLE = {"node": "table", "name": ["events"]}


def column(*name: str) -> dict:
    return {"node": "column", "name": list(name)}


def text(value: str) -> dict:
    return {"node": "literal", "data_type": "string", "text": value}


def whole(value: int) -> dict:
    return {"node": "literal", "data_type": "int", "text": str(value)}


def test_a_sliding_window_with_three_aggregates():
    out = (
        stream()
        .withWatermark("ts", "10 minutes")
        .groupBy(F.window("ts", "5 minutes", "1 minute"), "k")
        .agg(F.count("*").alias("n"), F.countDistinct("k"), F.avg("v"))
    )
    time = [column("ts"), text("5 minutes"), text("1 minute")]
    assert out._relation == {
        "node": "aggregate",
        "input": {"node": "watermark", "input": TABLE, "column": "ts", "delay": "10 minutes"},
        "groups": [{"node": "call", "name": "window", "arguments": time}, column("k")],
        "grouping": "plain",
        "list": [
            {
                "node": "alias",
                "input": {"node": "call", "name": "count", "arguments": [{"node": "star", "qualifier": []}]},
                "names": ["n"],
            },
            {"node": "call", "name": "count", "arguments": [column("k")], "distinct": True},
            {"node": "call", "name": "avg", "arguments": [column("v")]},
        ],
        "keep_groups": True,
    }


def test_an_offset_without_a_slide_slides_by_the_length():
    call = F.window("ts", "1 hour", startTime="15 minutes")._node
    assert call["arguments"][1:] == [text("1 hour"), text("1 hour"), text("15 minutes")]


def test_select_filter_and_columns():
    frame = stream()
    out = frame.filter((F.col("v") > 0) & ~F.col("k").isNull()).select("k", (frame.v * 2).alias("w"), frame["ts"])
    assert [item["node"] for item in out._relation["list"]] == ["column", "alias", "column"]
    assert out._relation["list"][2] == column("ts")
    assert out._relation["input"]["condition"]["operator"] == "and"


@pytest.mark.parametrize(
    ("how", "kind"),
    [
        (None, "inner"),
        ("left", "left_outer"),
        ("rightouter", "right_outer"),
        ("full_outer", "full_outer"),
        ("leftsemi", "left_semi"),
        ("anti", "left_anti"),
    ],
)
def test_kinds_of_join(how, kind):
    left, right = stream("a"), stream("b")
    out = left.join(right, left.k == right.k, how)._relation
    assert out["kind"] == kind
    assert out["condition"]["left"] == column("a", "k")
    assert out["condition"]["right"] == column("b", "k")


def test_a_join_on_names_and_a_kind_that_is_not_there():
    left, right = stream("a"), stream("b")
    assert left.join(right, ["k"], "left")._relation["using"] == ["k"]
    with pytest.raises(AnalysisException, match="no join of kind `sideways`"):
        left.join(right, "k", "sideways")


def test_columns_of_an_aggregate_can_be_named_after_a_join():
    events = stream()
    counts = events.groupBy("k").count()
    out = events.join(counts, events.k == counts.k).select(counts["count"])
    side = out._relation["input"]["right"]
    assert side["node"] == "alias"
    assert out._relation["list"] == [column(side["name"], "count")]


def test_a_frame_joined_with_one_made_from_it_has_two_qualifiers():
    events = stream()
    filtered = events.filter(events.v > 1)
    condition = events.join(filtered, events.k == filtered.k)._relation["condition"]
    assert condition["left"]["name"] != condition["right"]["name"]


def test_dropping_a_column_of_one_side():
    left, right = stream("a"), stream("b")
    out = left.join(right, left.k == right.k).drop(right.k)
    assert out._relation["list"][1] == {"node": "star", "qualifier": ["b"], "except": ["k"]}


def test_a_column_that_is_no_longer_there_is_refused():
    events = stream()
    with pytest.raises(AnalysisException, match="no longer there") as raised:
        events.withColumn("v", F.lit(1)).select(events["v"])
    assert raised.value.getCondition() == "CANNOT_RESOLVE_DATAFRAME_COLUMN"
    with pytest.raises(AnalysisException, match="another DataFrame"):
        events.select(stream("b")["v"])
    with pytest.raises(AnalysisException, match="either side"):
        events.join(events, events["k"] == events["k"])


@pytest.mark.parametrize(
    ("value", "data_type", "shown"),
    [
        (None, "void", None),
        (True, "boolean", "true"),
        (1, "int", "1"),
        (2**31, "bigint", "2147483648"),
        (2**63, "decimal(19,0)", "9223372036854775808"),
        (1.5, "double", "1.5"),
        (decimal.Decimal("-0.05"), "decimal(2,2)", "-0.05"),
        (decimal.Decimal("1E+2"), "decimal(3,0)", "100"),
        ("a'b", "string", "a'b"),
        (b"\x01\xff", "binary", "01ff"),
        (datetime.date(2024, 2, 29), "date", "2024-02-29"),
        (datetime.datetime(2024, 1, 5, 10, 0), "timestamp", "2024-01-05 10:00:00"),
        (datetime.timedelta(seconds=90), "interval", "90000000 microseconds"),
    ],
)
def test_literals(value, data_type, shown):
    assert F.lit(value)._node == {"node": "literal", "data_type": data_type, "text": shown}


def test_lists_and_dicts_become_arrays_and_maps():
    assert F.lit([1, 2])._node == {"node": "call", "name": "array", "arguments": [whole(1), whole(2)]}
    assert F.lit({"a": 1})._node == {"node": "call", "name": "map", "arguments": [text("a"), whole(1)]}
    with pytest.raises(PySparkTypeError, match="not object"):
        F.lit(object())


def test_names_with_dots_and_backticks():
    assert F.col("a.b")._node == column("a", "b")
    assert F.col("`a.b`.c")._node == column("a.b", "c")
    assert F.col("t.*")._node == {"node": "star", "qualifier": ["t"]}
    with pytest.raises(AnalysisException, match="not the name of a column"):
        F.col("a..b")


def test_when_goes_on_until_otherwise():
    case = F.when(F.col("v") > 0, "p").when(F.col("v").isNull(), "n").otherwise("z")
    assert len(case._node["branches"]) == 2
    assert case._node["otherwise"] == text("z")
    with pytest.raises(AnalysisException, match="otherwise"):
        case.otherwise("again")


def test_parameters_of_lambdas_differ_when_nested():
    outer = F.transform("a", lambda x: F.transform(x, lambda x: x + 1))._node["arguments"][1]
    inner = outer["body"]["arguments"][1]
    assert outer["parameters"] != inner["parameters"]
    with pytest.raises(PySparkValueError, match="takes 3 arguments"):
        F.transform("a", lambda x, y, z: x)


def test_optional_arguments_are_left_out():
    assert len(F.to_timestamp("k")._node["arguments"]) == 1
    assert F.to_timestamp("k", "yyyy")._node["arguments"][1] == text("yyyy")
    assert F.split("k", ",")._node["arguments"][1:] == [text(",")]
    assert F.locate("a", "k")._node["arguments"] == [text("a"), column("k"), whole(1)]


def test_schemas_and_options_of_json():
    call = F.from_json("k", "a INT, b STRING", {"mode": "FAILFAST"})._node
    assert call["arguments"][1] == text("a INT, b STRING")
    assert call["arguments"][2] == {"node": "call", "name": "map", "arguments": [text("mode"), text("FAILFAST")]}


def test_sql_expressions_are_read_at_once():
    assert F.expr("v + 1 AS w")._node["names"] == ["w"]
    with pytest.raises(ParseException) as raised:
        stream().selectExpr("v +")
    assert raised.value.getErrorClass() == "PARSE_SYNTAX_ERROR"


def test_orders_and_limits():
    keys = stream().orderBy("k", F.desc_nulls_first("v"), F.col("d").asc())._relation["keys"]
    assert keys[0] == {"by": column("k")}
    assert keys[1] == {"by": column("v"), "descending": True, "nulls_first": True}
    assert stream().orderBy("k", "v", ascending=[True, False])._relation["keys"][1]["descending"] is True
    assert stream().limit(3)._relation == {"node": "limit", "input": TABLE, "count": 3}


def test_windows_of_rows_are_built_for_the_engine_to_refuse():
    over = F.lag("v").over(Window.partitionBy("k").orderBy("ts"))._node
    assert over["partition_by"] == [column("k")]
    assert over["order_by"] == [{"by": column("ts")}]


def test_deduplication():
    assert stream().distinct()._relation == {"node": "deduplicate", "input": TABLE, "columns": []}
    within = stream().dropDuplicatesWithinWatermark(["k"])._relation
    assert within["within_watermark"] is True
    with pytest.raises(PySparkTypeError, match="a list of names"):
        stream().dropDuplicates("k")


def test_aggregates_by_name():
    out = stream().groupBy("k").agg({"v": "sum", "*": "count"})._relation
    assert [item["name"] for item in out["list"]] == ["sum", "count"]
    assert [item["name"] for item in stream().groupBy("k").max()._relation["list"]] == ["max", "max"]


def test_nulls_are_filled_where_the_value_fits():
    filled = dict(stream().fillna({"v": 0, "k": "?"})._relation["columns"])
    assert set(filled) == {"v", "k"}
    assert set(dict(stream().fillna(0)._relation["columns"])) == {"v", "d"}
    with pytest.raises(AnalysisException, match="no column named `nope`"):
        stream().fillna({"nope": 0})


def test_a_column_is_neither_true_nor_false():
    with pytest.raises(PySparkValueError, match="write & for `and`"):
        bool(F.col("a") == 1)
    assert isinstance(F.col("a") == 1, Column)


def test_every_function_has_a_docstring_and_can_be_found():
    functions = {name: getattr(F, name) for name in dir(F) if callable(getattr(F, name)) and not name.startswith("_")}
    assert len(functions) > 330
    assert [name for name, function in functions.items() if not function.__doc__] == []
