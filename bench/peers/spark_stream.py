"""The workloads on Spark Structured Streaming: spark_stream.py WORKLOAD DATA OUT [name=value ..].

    w1, w2, w3        files, one a micro-batch, to Parquet
    latency           files as they come, to JSON files; DATA is watched for `seconds`
    nexmark           the queries of nexmark/queries, whose SQL is Spark's (nexmark/spark where it is not); query=q5
    epochs            files of a row each, to Parquet; prints the progress
    kafka_to_kafka    all that the topic `from` has, to the topic `to`; brokers=..
    kafka_to_delta    the same to a Delta table; for `seconds` if they are given

Two shuffle partitions: what a user would set on two cores; store=rocksdb takes that state store with its changelog. Spark
refuses exact distinct counts on a stream, so w1 counts sessions approximately.
"""

from __future__ import annotations

import json
import re
import sys
import time
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.streaming import DataStreamWriter, StreamingQuery

NEXMARK = Path(__file__).resolve().parents[1] / "nexmark"
EVENTS = (
    "event_id string, user_id string, session_id string, event_type string, duration double, "
    "amount decimal(12,2), timestamp timestamp"
)
KEPT = ("purchase", "add_cart", "search", "click")
ROCKSDB = "org.apache.spark.sql.execution.streaming.state.RocksDBStateStoreProvider"


def session(options: dict[str, str]) -> SparkSession:
    """A quiet local session."""
    builder = SparkSession.builder.appName("bench").config("spark.ui.enabled", "false")
    builder = builder.config("spark.sql.shuffle.partitions", "2").config("spark.sql.session.timeZone", "UTC")
    if options.get("store") == "rocksdb":
        builder = builder.config("spark.sql.streaming.stateStore.providerClass", ROCKSDB)
        builder = builder.config("spark.sql.streaming.stateStore.rocksdb.changelogCheckpointing.enabled", "true")
    if options.get("delta"):
        builder = builder.config("spark.sql.extensions", "io.delta.sql.DeltaSparkSessionExtension")
        # of a large cluster: 50 tasks to read the log of a small table
        builder = builder.config("spark.databricks.delta.snapshotPartitions", "2")
        catalog = "org.apache.spark.sql.delta.catalog.DeltaCatalog"
        builder = builder.config("spark.sql.catalog.spark_catalog", catalog)
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    return spark


def w1(events: DataFrame) -> DataFrame:
    """Sliding windows by user."""
    counted = events.groupBy(F.window("timestamp", "5 minutes", "1 minute"), "user_id").agg(
        F.count("*").alias("n"),
        F.approx_count_distinct("session_id").alias("sessions"),
        F.avg("duration").alias("avg_duration"),
    )
    return counted.select("user_id", F.col("window.start").alias("window_start"), "n", "sessions", "avg_duration")


def w2(events: DataFrame) -> DataFrame:
    """Filter, mask, project."""
    masked = F.concat(F.lit("u***"), F.substring("user_id", 6, 2)).alias("user_masked")
    kept = events.where(F.col("event_type").isin(*KEPT))
    return kept.select("event_id", masked, "event_type", "duration", "amount", "timestamp")


def w3(events: DataFrame) -> DataFrame:
    """Tumbling windows by type."""
    counted = events.groupBy(F.window("timestamp", "1 minute"), "event_type").agg(
        F.count("*").alias("n"), F.sum("duration").alias("duration")
    )
    return counted.select(F.col("window.start").alias("window_start"), "event_type", "n", "duration")


def epochs(events: DataFrame) -> DataFrame:
    """A count by type that changes with every file."""
    counted = events.groupBy(F.window("timestamp", "1 minute"), "event_type").agg(F.count("*").alias("n"))
    return counted.select(F.col("window.start").alias("window_start"), "event_type", "n")


def files(spark: SparkSession, workload: str, data: str, out: str) -> None:
    """Everything that is there, one file a micro-batch, then the end."""
    events = spark.readStream.schema(EVENTS).option("maxFilesPerTrigger", 1).json(data)
    events = events.withWatermark("timestamp", "10 minutes")
    result = {"w1": w1, "w2": w2, "w3": w3, "epochs": epochs}[workload](events)
    writer = result.writeStream.outputMode("append").format("parquet").option("path", f"{out}/data")
    query = to_the_end(writer, out)
    if workload == "epochs":
        for report in query.recentProgress:
            print(json.dumps({"durationMs": dict(report["durationMs"]), "numInputRows": report["numInputRows"]}))


def to_the_end(writer: DataStreamWriter, out: str) -> StreamingQuery:
    """Runs until all is read that was there at the start."""
    query = writer.option("checkpointLocation", f"{out}/checkpoint").trigger(availableNow=True).start()
    query.awaitTermination()
    return query


def keep_on(writer: DataStreamWriter, out: str, seconds: float) -> None:
    """Runs as fast as Spark can, for so long."""
    query = writer.option("checkpointLocation", f"{out}/checkpoint").start()
    print("ready", flush=True)
    end = time.monotonic() + seconds
    while time.monotonic() < end and query.isActive:
        time.sleep(0.2)
    query.stop()


def latency(spark: SparkSession, data: str, out: str, seconds: float) -> None:
    """Filter and project files that keep arriving, into JSON files."""
    events = spark.readStream.schema(f"{EVENTS}, created_ms long").json(data)
    kept = events.where(F.col("event_type").isin(*KEPT))
    kept = kept.select("event_id", F.concat(F.lit("u***"), F.substring("user_id", 6, 2)).alias("user"), "created_ms")
    keep_on(kept.writeStream.format("json").option("path", f"{out}/data"), out, seconds)


def nexmark(spark: SparkSession, data: str, out: str, query: str) -> None:
    """One query; in update mode every batch is appended, so that its versions can be told apart by their file."""
    own = NEXMARK / "spark" / f"{query}.sql"
    path = own if own.exists() else NEXMARK / "queries" / f"{query}.sql"
    text = (NEXMARK / "tables.sql").read_text() + path.read_text()
    text = re.sub(r"^--.*$", "", text, flags=re.M)
    mode = "append"
    for statement in filter(None, (part.strip() for part in text.split(";"))):
        if found := re.match(r"SET output_mode = '(\w+)'", statement):
            mode = found[1]
        elif found := re.match(r"CREATE TABLE (\w+) \((.*)\)\s+WITH \((.*)\)$", statement, re.S):
            table(spark, data, *found.groups())
        elif statement.startswith("CREATE VIEW"):
            spark.sql(statement.replace("CREATE VIEW", "CREATE TEMPORARY VIEW"))
        elif statement.startswith("INSERT INTO result"):
            writer = spark.sql(statement.removeprefix("INSERT INTO result")).writeStream.outputMode(mode)
    if mode == "append":
        to_the_end(writer.format("parquet").option("path", f"{out}/data"), out)
        return

    def append(batch: DataFrame, number: int) -> None:
        batch.coalesce(1).write.parquet(f"{out}/data/{number:08}")

    to_the_end(writer.foreachBatch(append), out)


def table(spark: SparkSession, data: str, name: str, columns: str, options: str) -> None:
    """A table of tables.sql as a view of a stream, or of a file that does not change."""
    *fields, last = [part.strip() for part in re.split(r",(?![^(]*\))", columns)]
    delay = re.search(r"WATERMARK FOR (\w+) AS \w+ - INTERVAL '(.*)'", last)
    schema = ", ".join(fields if delay else [*fields, last])
    path = re.search(r"path = '\$\{DATA\}/(.*?)'", options)[1]
    if "static" in options:
        frame = spark.read.schema(schema).option("header", "true").csv(f"{data}/{path}")
    else:
        frame = spark.readStream.schema(schema).option("maxFilesPerTrigger", 1).json(f"{data}/{path}")
        frame = frame.withWatermark(delay[1], delay[2])
    frame.createOrReplaceTempView(name)


def kafka(spark: SparkSession, workload: str, out: str, options: dict[str, str]) -> None:
    """Records of a topic, masked, to another topic (Spark's sink: at least once) or to a Delta table."""
    reader = spark.readStream.format("kafka").option("kafka.bootstrap.servers", options["brokers"])
    reader = reader.option("subscribe", options["from"]).option("startingOffsets", "earliest")
    fields = EVENTS + (", created_ms long" if workload == "kafka_to_delta" else "")
    events = reader.load().select(F.from_json(F.col("value").cast("string"), fields).alias("event")).select("event.*")
    masked = F.concat(F.lit("u***"), F.substring("user_id", 6, 2)).alias("user_masked")
    kept = ["event_type", "duration", "amount", "timestamp"]
    if workload == "kafka_to_delta":
        rows = events.select("event_id", masked, *kept, "created_ms")
        writer = rows.writeStream.format("delta").option("path", f"{out}/data")
        if "seconds" in options:
            keep_on(writer.outputMode("append"), out, float(options["seconds"]))
            return
    else:
        rows = events.select(F.to_json(F.struct("event_id", masked, *kept)).alias("value"))
        writer = rows.writeStream.format("kafka").option("kafka.bootstrap.servers", options["brokers"])
        writer = writer.option("topic", options["to"])
    to_the_end(writer.outputMode("append"), out)


def main(arguments: list[str]) -> None:
    """Runs one workload."""
    workload, data, out = arguments[:3]
    options = dict(one.split("=", 1) for one in arguments[3:])
    spark = session(options)
    if workload == "latency":
        latency(spark, data, out, float(options["seconds"]))
    elif workload == "nexmark":
        nexmark(spark, data, out, options["query"])
    elif workload.startswith("kafka"):
        kafka(spark, workload, out, options)
    else:
        files(spark, workload, data, out)
    spark.stop()


main(sys.argv[1:])
