"""The mission's Quick Start, as it stands there: events in the embedded log, a sliding window, a Delta table."""

from __future__ import annotations

import deltalake
import pytest
from tidemill.errors import StreamingQueryException
from tidemill.stream_monitor import StreamMonitor
from tidemill.stream_processor import StreamProcessor
from tidemill.transformations import avg, col, count, countDistinct, window
from tidemill.types import StringType, StructField, StructType, TimestampType

USER_EVENTS = "user_id STRING, session_id STRING, duration DOUBLE, timestamp TIMESTAMP"
KEYS = ["window_start", "user_id"]


def processed(processor: StreamProcessor):
    """The windows of the Quick Start, with a flat start so that other readers can sort them."""
    stream = processor.read_stream(topic="user-events", schema=USER_EVENTS)
    return (
        stream.withWatermark("timestamp", "10 minutes")
        .groupBy(window("timestamp", "5 minutes", "1 minute"), "user_id")
        .agg(
            count("*").alias("event_count"),
            countDistinct("session_id").alias("session_count"),
            avg("duration").alias("avg_duration"),
        )
    )


def start(processor: StreamProcessor, function, path):
    query = processed(processor).writeStream.foreachBatch(function)
    return query.option("checkpointLocation", path / "checkpoints" / "user_metrics").trigger(availableNow=True).start()


def new_processor(path) -> StreamProcessor:
    return StreamProcessor(
        source="log",
        connection_string=path / "log",
        consumer_group="streaming-pipeline",
        checkpoint_location=path / "checkpoints",
    )


def gold_rows(path) -> list[tuple]:
    table = deltalake.DeltaTable(str(path / "gold" / "user_metrics")).to_pyarrow_table()
    rows = [
        (
            row["window"]["start"],
            row["user_id"],
            row["event_count"],
            row["session_count"],
            round(row["avg_duration"], 9),
        )
        for row in table.to_pylist()
    ]
    return sorted(rows)


def expected_rows(path, spark) -> list[tuple]:
    """The same windows over the whole log at once, of which only the closed ones come out of a stream."""
    processor = new_processor(path / "expected")
    processor = StreamProcessor("log", path / "log", session=processor.session)
    found = []
    query = processed(processor).writeStream.foreachBatch(lambda batch, _: found.extend(batch.collect()))
    assert query.trigger(availableNow=True).start().awaitTermination(60)
    rows = [
        (row.window.start, row.user_id, row.event_count, row.session_count, round(row.avg_duration, 9)) for row in found
    ]
    return sorted(rows)


def aware(rows: list[tuple]) -> list[tuple]:
    """Starts of windows without their zone, as `collect` gives them."""
    return [(start.replace(tzinfo=None), *rest) for start, *rest in rows]


def test_the_quick_start(tmp_path, produce):
    produce(20_000)
    processor = new_processor(tmp_path)
    served, features = [], []

    def write_to_redis(batch):
        served.append(batch.count())

    def update_feature_store(batch):
        features.append(batch.toArrow().num_rows)

    path = str(tmp_path / "gold" / "user_metrics")
    query = (
        processed(processor)
        .writeStream.foreachBatch(
            lambda batch, batch_id: (
                batch.write.format("delta").mode("append").save(path),
                write_to_redis(batch),
                update_feature_store(batch),
            )
        )
        .option("checkpointLocation", str(tmp_path / "checkpoints" / "user_metrics"))
        .trigger(processingTime="1 second")
        .start()
    )
    monitor = StreamMonitor(query)
    monitor.track_metrics(["lag", "throughput", "latency"])
    produce(10, start="2026-01-01T01:00:00Z", seed=2)
    query.processAllAvailable()
    snapshot = monitor.snapshot()
    query.stop()

    assert sum(served) == sum(features) > 0
    assert snapshot["lag"] == {"records": 0, "seconds": 0.0}
    assert snapshot["throughput"]["records_per_second"] > 0
    assert snapshot["latency"]["p50"] <= snapshot["latency"]["p99"]
    assert "running" not in monitor.report() and "ended" in monitor.report()
    rows = gold_rows(tmp_path)
    assert len(rows) == sum(served)
    assert len({row[:2] for row in rows}) == len(rows)
    # 20 thousand events a microsecond apart lie in one minute, which five windows hold
    assert sum(row[2] for row in rows) == 5 * 20_000


def test_a_restart_goes_on_where_it_stopped(tmp_path, produce, spark):
    path = str(tmp_path / "gold" / "user_metrics")
    ids = []

    def keep(batch, batch_id):
        batch.write.format("delta").mode("append").save(path)
        ids.append(batch_id)

    for part in range(3):
        produce(2_000, start=f"2026-01-01T0{part}:00:00Z", seed=part)
        assert start(new_processor(tmp_path), keep, tmp_path).awaitTermination(60)
    assert ids == list(range(len(ids))) and len(ids) >= 3
    assert aware(gold_rows(tmp_path)) == expected_rows(tmp_path, spark)


@pytest.mark.parametrize("where", ["before the write", "after the write"])
def test_a_failed_batch_comes_again_and_is_not_doubled(tmp_path, produce, spark, where):
    path = str(tmp_path / "gold" / "user_metrics")
    calls = []

    def fragile(fails_in):
        def keep(batch, batch_id):
            calls.append((batch_id, sorted((row.user_id, row.event_count) for row in batch.collect())))
            if batch_id == fails_in and where == "before the write":
                raise ValueError("the disk is full")
            batch.write.format("delta").mode("append").save(path)
            if batch_id == fails_in and where == "after the write":
                raise ValueError("the disk is full")

        return keep

    produce(2_000, seed=1)
    assert start(new_processor(tmp_path), fragile(None), tmp_path).awaitTermination(60)
    produce(2_000, start="2026-01-01T01:00:00Z", seed=2)
    failing_id = calls[-1][0] + 2
    query = start(new_processor(tmp_path), fragile(failing_id), tmp_path)
    with pytest.raises(StreamingQueryException) as raised:
        query.awaitTermination(60)
    assert raised.value.getCondition() == "FOREACH_BATCH_USER_FUNCTION_ERROR"
    assert isinstance(raised.value.__cause__, ValueError)
    assert raised.value.__cause__.__traceback__.tb_frame.f_code.co_name
    assert "the disk is full" in str(raised.value)
    assert not query.isActive
    assert isinstance(query.exception(), StreamingQueryException)

    assert start(new_processor(tmp_path), fragile(None), tmp_path).awaitTermination(60)
    failed, again = [call for call in calls if call[0] == failing_id]
    assert failed == again and failed[1]
    assert aware(gold_rows(tmp_path)) == expected_rows(tmp_path, spark)


def test_duckdb_reads_the_table(tmp_path, produce):
    duckdb = pytest.importorskip("duckdb")
    produce(2_000)
    produce(2_000, start="2026-01-01T01:00:00Z", seed=2)
    path = str(tmp_path / "gold" / "user_metrics")
    query = start(
        new_processor(tmp_path), lambda batch, _: batch.write.format("delta").mode("append").save(path), tmp_path
    )
    assert query.awaitTermination(60)
    connection = duckdb.connect()
    try:
        connection.execute("LOAD delta")
    except duckdb.Error:
        # without the extension DuckDB reads the rows through the deltalake package
        gold = deltalake.DeltaTable(path).to_pyarrow_table()  # noqa: F841 - named in the query
        source = "gold"
    else:
        source = f"delta_scan('{path}')"
    counted = connection.execute(f"SELECT count(*), sum(event_count) FROM {source}").fetchone()
    assert counted == (len(gold_rows(tmp_path)), 5 * 2_000)


def test_a_schema_may_be_a_struct_type(tmp_path, produce):
    produce(10)
    schema = StructType([StructField("user_id", StringType()), StructField("timestamp", TimestampType())])
    frame = new_processor(tmp_path).read_stream("user-events", schema)
    assert frame.dtypes == [("user_id", "string"), ("timestamp", "timestamp")]
    assert frame.filter(col("user_id").isNotNull()).isStreaming
