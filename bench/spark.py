"""The same workloads on Spark Structured Streaming: spark.py w1|w3|state DATA OUT [SECONDS].

One file a micro-batch, two shuffle partitions, the default state store: what a user gets on a machine
with two cores. Spark refuses exact distinct counts on a stream, so w1 counts sessions approximately.
"""

import sys
import time

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

EVENTS = (
    "event_id string, user_id string, session_id string, event_type string, duration double, "
    "amount decimal(12,2), timestamp timestamp"
)


def session() -> SparkSession:
    """A quiet local session."""
    builder = SparkSession.builder.appName("bench").config("spark.ui.enabled", "false")
    builder = builder.config("spark.sql.shuffle.partitions", "2").config("spark.sql.session.timeZone", "UTC")
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


def w3(events: DataFrame) -> DataFrame:
    """Tumbling windows by type."""
    counted = events.groupBy(F.window("timestamp", "1 minute"), "event_type").agg(
        F.count("*").alias("n"), F.sum("duration").alias("duration")
    )
    return counted.select(F.col("window.start").alias("window_start"), "event_type", "n", "duration")


def throughput(spark: SparkSession, workload: str, data: str, out: str) -> None:
    """Everything that is there, then the end."""
    events = spark.readStream.schema(EVENTS).option("maxFilesPerTrigger", 1).json(data)
    result = {"w1": w1, "w3": w3}[workload](events.withWatermark("timestamp", "10 minutes"))
    writer = result.writeStream.outputMode("append").format("parquet")
    writer = writer.option("path", f"{out}/data").option("checkpointLocation", f"{out}/checkpoint")
    query = writer.trigger(availableNow=True).start()
    query.awaitTermination()


def latency(spark: SparkSession, data: str, out: str, seconds: float) -> None:
    """Filter and project files that keep arriving, as fast as Spark can, into JSON files."""
    events = spark.readStream.schema(f"{EVENTS}, created_ms long").json(data)
    kept = events.where(F.col("event_type").isin("purchase", "add_cart", "search", "click"))
    kept = kept.select("event_id", F.concat(F.lit("u***"), F.substring("user_id", 6, 2)).alias("user"), "created_ms")
    writer = kept.writeStream.format("json").option("path", f"{out}/data")
    query = writer.option("checkpointLocation", f"{out}/checkpoint").start()
    print("ready", flush=True)
    end = time.monotonic() + seconds
    while time.monotonic() < end and query.isActive:
        time.sleep(0.2)
    query.stop()


def main(arguments: list[str]) -> None:
    """Runs one workload."""
    workload, data, out = arguments[:3]
    spark = session()
    if workload == "latency":
        latency(spark, data, out, float(arguments[3]))
    else:
        throughput(spark, workload, data, out)
    spark.stop()


main(sys.argv[1:])
