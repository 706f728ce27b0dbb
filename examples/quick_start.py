"""The Quick Start: user events from the embedded log, a sliding window per user, a Delta table, and its health.

    python examples/quick_start.py [DIRECTORY]

Makes 60 thousand events of two hours first, so that it needs nothing outside; with ``source="azure_event_hub"`` and a
connection string the same code reads Event Hubs. Run it twice: the second run goes on where the first one stopped.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tidemill.session import Session
from tidemill.stream_monitor import StreamMonitor
from tidemill.stream_processor import StreamProcessor
from tidemill.transformations import avg, count, countDistinct, window

USER_EVENTS = "user_id STRING, session_id STRING, duration DOUBLE, timestamp TIMESTAMP"


def produce(directory: Path) -> None:
    """Puts made-up events into the embedded log, as far as they are not there yet."""
    reader = Session("producer").readStream.format("generator").options(number_of_rows=60_000, rows_per_second=8)
    events = reader.option("start_timestamp", "2026-01-01T00:00:00Z").load()
    query = (
        events.writeStream.format("log")
        .options(path=directory / "log", topic="user-events", checkpointLocation=directory / "checkpoints" / "produce")
        .trigger(availableNow=True)
        .start()
    )
    query.awaitTermination()


def main(directory: Path) -> None:
    """Runs the pipeline over everything that is there."""
    produce(directory)
    processor = StreamProcessor(
        source="log",
        connection_string=directory / "log",
        consumer_group="streaming-pipeline",
        checkpoint_location=directory / "checkpoints",
    )
    stream = processor.read_stream(topic="user-events", schema=USER_EVENTS)

    processed = (
        stream.withWatermark("timestamp", "10 minutes")
        .groupBy(window("timestamp", "5 minutes", "1 minute"), "user_id")
        .agg(
            count("*").alias("event_count"),
            countDistinct("session_id").alias("session_count"),
            avg("duration").alias("avg_duration"),
        )
    )

    query = (
        processed.writeStream.foreachBatch(
            lambda batch, batch_id: (
                batch.write.format("delta").mode("append").save(directory / "gold" / "user_metrics"),
                print(f"batch {batch_id}: {batch.count()} windows"),
            )
        )
        .option("checkpointLocation", directory / "checkpoints" / "user_metrics")
        .trigger(processingTime="1 second")
        .start()
    )

    monitor = StreamMonitor(query)
    monitor.track_metrics(["lag", "throughput", "latency"])
    query.processAllAvailable()
    print(monitor.report())
    query.stop()


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "quick-start-out"))
