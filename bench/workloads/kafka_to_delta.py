"""Kafka to Delta on a real broker: how many records a second, and how soon a record at 10,000/s is in the table."""

from __future__ import annotations

import os
from pathlib import Path

import answers
import broker
import duckdb
import inputs
import latency
from measure import Measured, measure
from suite import HERE, Suite

from workloads.kafka_to_kafka import SHARE, installed, peer, peer_command

RATE = 10_000
INTERVAL = 0.01
WARM, WARM_JVM = 5.0, 30.0
ENGINES_HERE = ("tidemill", "spark")


def run(suite: Suite) -> None:
    """Throughput, then the time to be visible."""
    records = max(1000, suite.asked.events // SHARE)
    program = broker.loop(suite.out)
    with broker.running() as brokers:
        source = broker.topic(brokers, "events")
        measure([str(program), "produce", brokers, source, str(records)], suite.out / "produce.txt")
        taken = {name: [] for name in ENGINES_HERE if name == "tidemill" or installed(suite, name)}
        for turn in range(suite.asked.runs):
            for name in list(taken):
                what = f"kafka_to_delta on {name}"
                if (
                    not suite.attempt(what, once, suite, brokers, source, name, records, taken[name])
                    and not taken[name]
                ):
                    del taken[name]
            suite.say(f"kafka_to_delta: turn {turn + 1} of {suite.asked.runs} done")
        for name, runs in taken.items():
            suite.add_runs("kafka_to_delta", name, records, runs, note="Spark 4.2" if name == "spark" else "")
        for name in taken:
            suite.attempt(f"kafka_to_delta visible on {name}", visible, suite, brokers, name)


def once(suite: Suite, brokers: str, source: str, name: str, records: int, runs: list[Measured]) -> None:
    """All that is in the topic; the table is read the first time."""
    folder = suite.fresh(f"kafka_to_delta-{name}")
    if name == "tidemill":
        env = {"BROKERS": brokers, "FROM": source, "OUT": str(folder), "TRIGGER": "available-now"}
        took = suite.tidemill(HERE / "pipelines" / "kafka_to_delta.sql", folder, env)
    else:
        took = peer(suite, "kafka_to_delta", name, folder, {"brokers": brokers, "from": source})
    if not runs:
        check(folder / "data", records)
    runs.append(took)


def check(table: Path, records: int) -> None:
    """Every record once, masked."""
    query = f"SELECT count(*), count(DISTINCT event_id), min(user_masked) FROM {answers.relation(table)}"
    rows, ids, masked = duckdb.connect().execute(query).fetchone()
    if (rows, ids) != (records, records) or not masked.startswith("u***"):
        raise RuntimeError(f"the table holds {rows} rows, {ids} different, like {masked}; expected {records}")


def visible(suite: Suite, brokers: str, name: str) -> None:
    """From an event's time to the commit that holds it, the engine's pace left to it: as fast as it can."""
    topic = broker.topic(brokers, f"steady-{name}")
    work = suite.fresh(f"kafka_to_delta-visible-{name}")
    load = latency.Load(RATE, WARM if name == "tidemill" else WARM_JVM, suite.asked.seconds, INTERVAL)
    if name == "tidemill":
        env = os.environ | {"BROKERS": brokers, "FROM": topic, "OUT": str(work), "TRIGGER": "asap"}
        command = inputs.run_command(suite.program, HERE / "pipelines" / "kafka_to_delta.sql", work / "checkpoint")
    else:
        seconds = str(load.warm + load.seconds + 60)
        options = {"brokers": brokers, "from": topic, "seconds": seconds}
        command, env = peer_command(suite, "kafka_to_delta", name, work, options)
    published = latency.DeltaPublished(work / "data")
    found = latency.run(command, env, work, published, latency.KafkaFeeder(brokers, topic, load), 1.0)
    suite.add("kafka_to_delta_visible", name, rate=RATE, note="Spark 4.2" if name == "spark" else "", **vars(found))
