"""Kafka from Python, against a real broker: rows out in transactions, and in again."""

from __future__ import annotations

import json
import os
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from tidemill import functions as F
from tidemill.stream_processor import StreamProcessor

EVENTS = "user_id STRING, duration DOUBLE, timestamp TIMESTAMP"
SERVICES = Path(__file__).resolve().parents[2] / "tests" / "services"


@pytest.fixture(scope="module")
def brokers() -> Iterator[str]:
    """The broker the environment names, or one that is started for these tests."""
    if "KAFKA_BOOTSTRAP" in os.environ:
        yield os.environ["KAFKA_BOOTSTRAP"]
        return
    sys.path.insert(0, str(SERVICES))
    import services

    with services.running(["kafka"]) as env:
        yield env["KAFKA_BOOTSTRAP"]


def committed_values(brokers: str, topic: str, count: int) -> list[dict]:
    """`count` records of a topic as a plain consumer reads them, and whatever else is there."""
    confluent_kafka = pytest.importorskip("confluent_kafka")
    settings = {"group.id": str(uuid.uuid4()), "auto.offset.reset": "earliest", "isolation.level": "read_committed"}
    consumer = confluent_kafka.Consumer({"bootstrap.servers": brokers, **settings})
    consumer.subscribe([topic])
    found: list[dict] = []
    try:
        for _ in range(60):
            messages = consumer.consume(num_messages=1_000, timeout=1.0)
            found += [json.loads(message.value()) for message in messages if message.error() is None]
            if len(found) >= count and not messages:
                break
    finally:
        consumer.close()
    return found


def test_events_go_through_kafka_once(spark, brokers, tmp_path):
    events, totals = f"events-{uuid.uuid4()}", f"totals-{uuid.uuid4()}"
    generator = spark.readStream.format("generator").options(number_of_rows=2_000, rows_per_second=10)
    rows = generator.option("start_timestamp", "2026-01-01T00:00:00Z").load().select("user_id", "duration", "timestamp")
    produce = rows.writeStream.format("kafka").option("kafka.bootstrap.servers", brokers).option("topic", events)
    produce = produce.option("checkpointLocation", tmp_path / "produce").trigger(availableNow=True).start()
    assert produce.awaitTermination(60)

    processor = StreamProcessor(
        "kafka", brokers, "tests", tmp_path / "checkpoints", options={"startingOffsets": "earliest"}
    )
    stream = processor.read_stream(events, EVENTS)
    counts = (
        stream.withWatermark("timestamp", "1 minute")
        .groupBy(F.window("timestamp", "1 minute"), "user_id")
        .agg(F.count("*").alias("n"))
        .select(F.col("window.start").alias("start"), "user_id", "n")
    )

    def write(query_name):
        query = counts.writeStream.format("kafka").option("kafka.bootstrap.servers", brokers).option("topic", totals)
        query = query.queryName(query_name).trigger(availableNow=True).start()
        assert query.awaitTermination(60)
        return query

    first = write("totals")
    # 2000 events at 10 a second are 200 seconds: the windows of the first minute and the next are closed
    assert sum(progress.numInputRows for progress in first.recentProgress) == 2_000
    again = write("totals")
    assert again.lastProgress is None
    found = committed_values(brokers, totals, 1)
    assert sum(row["n"] for row in found) == 1_200
    assert len({(row["start"], row["user_id"]) for row in found}) == len(found)


def test_records_without_a_schema_have_spark_s_columns(spark, brokers, tmp_path):
    topic = f"plain-{uuid.uuid4()}"
    seed = spark.readStream.format("generator").options(number_of_rows=10, rows_per_second=0).load()
    plain = seed.select(F.col("user_id").alias("key"), F.col("event_type").alias("value"))
    produce = plain.writeStream.format("kafka").option("kafka.bootstrap.servers", brokers).option("topic", topic)
    assert produce.option("checkpointLocation", tmp_path / "p").trigger(availableNow=True).start().awaitTermination(60)
    records = (
        spark.readStream.format("kafka")
        .option("kafka.bootstrap.servers", brokers)
        .option("subscribe", topic)
        .option("startingOffsets", "earliest")
        .load()
        .selectExpr("CAST(key AS STRING) AS key", "CAST(value AS STRING) AS value", "topic", "offset")
    )
    query = records.writeStream.format("memory").queryName("records").trigger(availableNow=True).start()
    assert query.awaitTermination(60)
    rows = spark.table("records").orderBy("offset").collect()
    assert len(rows) == 10 and {row.topic for row in rows} == {topic}
    assert all(row.key and row.value for row in rows)
