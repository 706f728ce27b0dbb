"""The workloads on Flink (PyFlink's Table API, its own small cluster): flink_stream.py WORKLOAD DATA OUT [name=value ..].

    w1, w2, w3        files to JSON files, exactly once, a checkpoint every ten seconds
    latency           files as they come; results are published with a checkpoint a second
    nexmark           the queries of nexmark/flink; query=q5. What changes is written as a changelog (debezium-json)
    kafka_to_kafka    the topic `from` to the topic `to` in transactions; brokers=.. jar=.. records=..

As many tasks as cores, state in a hash map (store=rocksdb: in RocksDB). Where input ends, Flink closes every window.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from pyflink.table import EnvironmentSettings, TableEnvironment

NEXMARK = Path(__file__).resolve().parents[1] / "nexmark" / "flink"
CHECKPOINT_MS = "10000"
EVENTS = """
    event_id STRING, user_id STRING, session_id STRING, event_type STRING, duration DOUBLE, amount DECIMAL(12, 2),
    `timestamp` TIMESTAMP_LTZ(3)"""
WATERMARK = ", WATERMARK FOR `timestamp` AS `timestamp` - INTERVAL '10' MINUTE"
MASKED = """event_id, 'u***' || SUBSTRING(user_id, 6, 2) AS user_masked, event_type, duration, amount, `timestamp`"""
MASKED_COLUMNS = """event_id STRING, user_masked STRING, event_type STRING, duration DOUBLE, amount DECIMAL(12, 2),
    `timestamp` TIMESTAMP_LTZ(3)"""
KEPT = "WHERE event_type IN ('purchase', 'add_cart', 'search', 'click')"
# workload: columns of the result, query
QUERIES = {
    "w1": (
        "user_id STRING, window_start TIMESTAMP(3), n BIGINT, sessions BIGINT, avg_duration DOUBLE",
        """SELECT user_id, window_start, COUNT(*), COUNT(DISTINCT session_id), AVG(duration)
           FROM TABLE(HOP(TABLE events, DESCRIPTOR(`timestamp`), INTERVAL '1' MINUTE, INTERVAL '5' MINUTE))
           GROUP BY user_id, window_start, window_end""",
    ),
    "w2": (MASKED_COLUMNS, f"SELECT {MASKED} FROM events {KEPT}"),
    "w3": (
        "window_start TIMESTAMP(3), event_type STRING, n BIGINT, duration DOUBLE",
        """SELECT window_start, event_type, COUNT(*), SUM(duration)
           FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(`timestamp`), INTERVAL '1' MINUTE))
           GROUP BY event_type, window_start, window_end""",
    ),
    "latency": (
        "event_id STRING, `user` STRING, created_ms BIGINT",
        f"SELECT event_id, 'u***' || SUBSTRING(user_id, 6, 2), created_ms FROM events {KEPT}",
    ),
}
ISO = "'json.timestamp-format.standard' = 'ISO-8601'"


def environment(out: str, options: dict[str, str]) -> TableEnvironment:
    """Exactly once, on all cores."""
    tables = TableEnvironment.create(EnvironmentSettings.in_streaming_mode())
    settings = {
        "parallelism.default": options.get("parallelism", os.environ["CORES"]),
        "state.backend.type": options.get("store", "hashmap"),
        "execution.checkpointing.interval": f"{options.get('checkpoint_ms', CHECKPOINT_MS)} ms",
        "execution.checkpointing.dir": f"file://{out}/checkpoint",
        "execution.checkpointing.mode": "EXACTLY_ONCE",
        "execution.checkpointing.incremental": "true",
        "pipeline.object-reuse": "true",
        "taskmanager.numberOfTaskSlots": os.environ["CORES"],
        "taskmanager.memory.process.size": "8g",
        "table.local-time-zone": "UTC",
        "rest.port": "0",
    }
    if "jar" in options:
        settings["pipeline.jars"] = f"file://{options['jar']}"
    for name, value in settings.items():
        tables.get_config().set(name, value)
    return tables


def files(tables: TableEnvironment, workload: str, data: str, out: str) -> None:
    """From JSON files to JSON files."""
    more, watch = "", ""
    if workload == "latency":
        more, watch = ", created_ms BIGINT", ", 'source.monitor-interval' = '10 ms'"
    watermark = WATERMARK if workload in ("w1", "w3") else ""
    tables.execute_sql(
        f"CREATE TABLE events ({EVENTS}{more}{watermark}) "
        f"WITH ('connector' = 'filesystem', 'path' = 'file://{data}', 'format' = 'json', {ISO}{watch})"
    )
    columns, query = QUERIES[workload]
    roll = "'sink.rolling-policy.file-size' = '512MB'"
    if workload == "latency":
        roll = "'sink.rolling-policy.rollover-interval' = '1 s', 'sink.rolling-policy.check-interval' = '200 ms'"
    tables.execute_sql(
        f"CREATE TABLE results ({columns}) "
        f"WITH ('connector' = 'filesystem', 'path' = 'file://{out}/data', 'format' = 'json', {ISO}, {roll})"
    )
    tables.execute_sql(f"INSERT INTO results {query}").wait()


def nexmark(tables: TableEnvironment, data: str, out: str, query: str) -> None:
    """Tables, then the statements of the query; `-- columns:` in it are those of the result."""
    text = (NEXMARK / f"{query}.sql").read_text()
    columns = next(line.removeprefix("-- columns: ") for line in text.splitlines() if line.startswith("-- columns: "))
    changes = "-- changes" in text
    statements = (NEXMARK / "tables.sql").read_text() + text
    statements = "\n".join(line for line in statements.splitlines() if not line.startswith("--"))
    form = f"'debezium-json', 'debezium-{ISO[1:]}" if changes else f"'json', {ISO}"
    tables.execute_sql(
        f"CREATE TABLE results ({columns}) "
        f"WITH ('connector' = 'filesystem', 'path' = 'file://{out}/data', 'format' = {form})"
    )
    for statement in filter(None, (part.strip() for part in statements.replace("${DATA}", data).split(";"))):
        job = tables.execute_sql(statement)
        if statement.startswith("INSERT"):
            job.wait()


def kafka(tables: TableEnvironment, options: dict[str, str]) -> None:
    """Records masked, in a transaction a checkpoint."""
    common = f"'connector' = 'kafka', 'properties.bootstrap.servers' = '{options['brokers']}', 'format' = 'json', {ISO}"
    tables.execute_sql(
        f"CREATE TABLE events ({EVENTS}) WITH ({common}, 'topic' = '{options['from']}', "
        "'scan.startup.mode' = 'earliest-offset', 'scan.bounded.mode' = 'latest-offset')"
    )
    tables.execute_sql(
        f"CREATE TABLE results ({MASKED_COLUMNS}) WITH ({common}, 'topic' = '{options['to']}', "
        "'sink.delivery-guarantee' = 'exactly-once', 'sink.transactional-id-prefix' = 'bench', "
        "'properties.transaction.timeout.ms' = '600000')"
    )
    tables.execute_sql(f"INSERT INTO results SELECT {MASKED} FROM events").wait()


def main(arguments: list[str]) -> None:
    """Runs one workload."""
    workload, data, out = arguments[:3]
    options = dict(one.split("=", 1) for one in arguments[3:])
    tables = environment(out, options)
    if workload == "nexmark":
        nexmark(tables, data, out, options["query"])
    elif workload == "kafka_to_kafka":
        kafka(tables, options)
    else:
        if workload == "latency":
            print("ready", flush=True)
        files(tables, workload, data, out)


main(sys.argv[1:])
