"""Frames that are computed at once: values in and out, Arrow without copies, writes."""

from __future__ import annotations

import datetime
import decimal

import deltalake
import pyarrow
import pytest
from tidemill import functions as F
from tidemill.errors import AnalysisException, PySparkTypeError
from tidemill.types import Row

EVERY_TYPE = (
    "b BOOLEAN, i8 TINYINT, i16 SMALLINT, i32 INT, i64 BIGINT, f32 FLOAT, f64 DOUBLE, d DECIMAL(10,2), s STRING, "
    "bin BINARY, day DATE, ts TIMESTAMP, ntz TIMESTAMP_NTZ, list ARRAY<INT>, m MAP<STRING,BIGINT>, "
    "st STRUCT<x: INT, y: STRING>"
)
FULL = (
    True,
    1,
    2,
    3,
    4,
    0.5,
    0.25,
    decimal.Decimal("12.30"),
    "é",
    bytearray(b"\x00\xff"),
    datetime.date(2026, 1, 2),
    datetime.datetime(2026, 1, 2, 3, 4, 5, 678901),
    datetime.datetime(1969, 12, 31, 23, 59, 59, 999999),
    [1, None, 3],
    {"a": 1, "b": None},
    Row(x=1, y="z"),
)


def test_values_of_every_type_come_back_as_they_went_in(spark):
    frame = spark.createDataFrame([FULL, (None,) * len(FULL)], EVERY_TYPE)
    assert [tuple(row) for row in frame.collect()] == [FULL, (None,) * len(FULL)]
    assert frame.first().st.y == "z"
    assert frame.first()["list"] == [1, None, 3]


def test_instants_with_a_zone_are_turned_to_utc(spark):
    noon = datetime.datetime(2026, 1, 1, 12, tzinfo=datetime.timezone(datetime.timedelta(hours=2)))
    assert spark.createDataFrame([(noon,)], ["t"]).first().t == datetime.datetime(2026, 1, 1, 10)


def test_types_are_found_in_the_values(spark):
    rows = [Row(a=1, b="x", c=1.5, d=[1], e={"k": 1}), Row(a=None, b=None, c=2, d=None, e=None)]
    assert spark.createDataFrame(rows).dtypes == [
        ("a", "bigint"),
        ("b", "string"),
        ("c", "double"),
        ("d", "array<bigint>"),
        ("e", "map<string,bigint>"),
    ]


def test_a_value_of_another_type_is_refused(spark):
    with pytest.raises(PySparkTypeError, match="the column `a` is int, and cannot take 'x'"):
        spark.createDataFrame([("x",)], "a INT")


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
def test_tables_of_other_libraries(spark, library):
    table = pyarrow.table(
        {"k": ["a", "b"], "n": pyarrow.array([1, 2], pyarrow.uint8()), "t": [datetime.datetime(2026, 1, 1)] * 2}
    )
    if library == "pandas":
        table = table.to_pandas()
    elif library == "polars":
        polars = pytest.importorskip("polars")
        table = polars.from_arrow(table)
    frame = spark.createDataFrame(table)
    assert dict(frame.dtypes) == {"k": "string", "n": "smallint", "t": "timestamp_ntz"}
    assert frame.filter("n > 1").collect() == [Row(k="b", n=2, t=datetime.datetime(2026, 1, 1))]


def test_arrow_is_handed_over_without_a_copy(spark, produce, tmp_path):
    produce(1_000)
    seen = []

    def look(batch, _):
        first, again = pyarrow.table(batch), batch.toArrow()
        column = first.schema.get_field_index("duration")
        seen.append([table.column(column).chunk(0).buffers()[1].address for table in (first, again)])
        polars = batch.toPolars()
        assert polars.height == first.num_rows == len(batch.toPandas()) == batch.count()

    log = spark.readStream.format("log").option("topic", "user-events").schema("user_id STRING, duration DOUBLE")
    query = log.load(tmp_path / "log").writeStream.foreachBatch(look).trigger(availableNow=True).start()
    assert query.awaitTermination(30)
    assert seen and all(first == again for first, again in seen)


def test_a_batch_can_be_transformed_and_used_again(spark, produce, tmp_path):
    produce(1_000)
    found = []

    def summarise(batch, batch_id):
        assert not batch.isStreaming and not batch.filter("duration > 0").isStreaming
        batch.persist()
        by_user = batch.groupBy("user_id").agg(F.count("*").alias("n"), F.max("duration").alias("longest"))
        found.append((batch.count(), sum(row.n for row in by_user.collect()), by_user.orderBy(F.desc("n")).first().n))
        names = spark.createDataFrame([(user.user_id, "name") for user in by_user.take(1)], ["user_id", "name"])
        assert batch.join(names, "user_id").count() == by_user.take(1)[0].n
        batch.createOrReplaceTempView("batch")
        assert spark.sql("SELECT count(*) AS n FROM batch").first().n == batch.count()
        batch.unpersist()

    log = spark.readStream.format("log").option("topic", "user-events").schema("user_id STRING, duration DOUBLE")
    query = log.load(tmp_path / "log").writeStream.foreachBatch(summarise).trigger(availableNow=True).start()
    assert query.awaitTermination(30)
    assert [(rows, total) for rows, total, _ in found] == [(1_000, 1_000)]
    assert found[0][2] > 1


def test_delta_writes_in_every_mode(spark, tmp_path):
    path = str(tmp_path / "table")
    frame = spark.createDataFrame([(1, "a"), (2, "b")], "n INT, k STRING")
    frame.write.format("delta").partitionBy("k").save(path)
    with pytest.raises(AnalysisException) as raised:
        frame.write.format("delta").save(path)
    assert raised.value.getCondition() == "DELTA_PATH_EXISTS"
    frame.write.format("delta").mode("ignore").save(path)
    frame.filter("n = 1").write.mode("append").format("delta").save(path)
    table = deltalake.DeltaTable(path)
    assert sorted(table.to_pyarrow_table().column("n").to_pylist()) == [1, 1, 2]
    assert table.metadata().partition_columns == ["k"]
    frame.filter("n = 2").write.format("delta").mode("overwrite").save(path)
    assert deltalake.DeltaTable(path).to_pyarrow_table().column("n").to_pylist() == [2]


def test_a_delta_transaction_is_written_once(spark, tmp_path):
    path = str(tmp_path / "table")
    frame = spark.createDataFrame([(1,)], "n INT")
    for version in (1, 1, 2):
        write = frame.write.format("delta").mode("append").option("txnAppId", "mine").option("txnVersion", version)
        write.save(path)
    assert deltalake.DeltaTable(path).to_pyarrow_table().num_rows == 2


def test_files_in_every_mode(spark, tmp_path):
    path = tmp_path / "files"
    frame = spark.createDataFrame([(1, "a"), (2, "b")], "n INT, k STRING")
    frame.write.parquet(path)
    with pytest.raises(AnalysisException) as raised:
        frame.write.parquet(path)
    assert raised.value.getCondition() == "PATH_ALREADY_EXISTS"
    frame.write.mode("append").parquet(path)
    assert spark.read.parquet(str(path), "n INT, k STRING").count() == 4
    frame.limit(1).write.mode("overwrite").parquet(path)
    assert spark.read.parquet(str(path), "n INT, k STRING").collect() == [Row(n=1, k="a")]
    frame.write.json(tmp_path / "lines")
    assert spark.read.schema("k STRING, n INT").json(str(tmp_path / "lines")).count() == 2


def test_two_writes_of_a_batch_to_one_place_are_both_kept(spark, produce, tmp_path):
    produce(100)
    path = str(tmp_path / "both")
    files = str(tmp_path / "files")

    def twice(batch, batch_id):
        for part in ("duration >= 10", "duration < 10"):
            batch.filter(part).write.format("delta").mode("append").save(path)
            batch.filter(part).write.mode("append").parquet(files)
        if batch_id == 0 and not again:
            again.append(True)
            raise RuntimeError("once more")

    again = []
    log = spark.readStream.format("log").option("topic", "user-events").schema("user_id STRING, duration DOUBLE")
    for failure in ("once more", None):
        query = log.load(tmp_path / "log").writeStream.foreachBatch(twice).trigger(availableNow=True)
        query = query.option("checkpointLocation", tmp_path / "checkpoint").start()
        assert query._inner.wait_ended(30)
        assert (failure is None) == (query.exception() is None) and str(failure or "") in str(query.exception())
    assert deltalake.DeltaTable(path).to_pyarrow_table().num_rows == 100
    assert spark.read.parquet(files, "user_id STRING, duration DOUBLE").count() == 100


def test_show_prints_as_spark_does(spark, capsys):
    spark.createDataFrame([(1, "a" * 30), (2, None)], "n INT, k STRING").show(1)
    assert capsys.readouterr().out == (
        "+---+--------------------+\n"
        "|  n|                   k|\n"
        "+---+--------------------+\n"
        "|  1|aaaaaaaaaaaaaaaaa...|\n"
        "+---+--------------------+\n"
        "only showing top 1 row\n\n"
    )


def test_a_stream_has_no_rows_to_collect(spark, tmp_path):
    stream = spark.readStream.schema("a INT").json(str(tmp_path))
    for action in ("collect", "count", "show", "toArrow"):
        with pytest.raises(AnalysisException, match="writeStream"):
            getattr(stream, action)()
