"""Kafka to Kafka on a real broker: JSON of 200 bytes, masked, no state; exactly once. Every engine copies the same topic.

The limit is a loop in C over the client library that does nothing else (limits/kafka_loop.c). The broker shares the
machine's cores; its CPU is not counted.
"""

from __future__ import annotations

import os
from pathlib import Path

import broker
from engines import CORES, ENGINES, Engine, Job, script, spark
from measure import Measured, measure
from suite import HERE, Suite

SHARE = 5  # records of W1 for one here
ENGINES_HERE = ("tidemill", "loop", "loop-transactions", "spark", "flink")


def run(suite: Suite) -> None:
    """Engines turn by turn, a new topic for each turn."""
    records = max(1000, suite.asked.events // SHARE)
    program = broker.loop(suite.out)
    with broker.running() as brokers:
        source = broker.topic(brokers, "events")
        suite.say(f"kafka_to_kafka: {records:,} records")
        measure([str(program), "produce", brokers, source, str(records)], suite.out / "produce.txt")
        taken: dict[str, list[Measured]] = {}
        for name in ENGINES_HERE:
            if name == "tidemill" or name.startswith("loop") or installed(suite, name):
                taken[name] = []
        for turn in range(suite.asked.runs):
            for name in list(taken):
                target = broker.topic(brokers, f"{name}-{turn}")
                what = f"kafka_to_kafka on {name}"
                if (
                    not suite.attempt(what, once, suite, program, brokers, source, target, name, records, taken, turn)
                    and not taken[name]
                ):
                    del taken[name]
            suite.say(f"kafka_to_kafka: turn {turn + 1} of {suite.asked.runs} done")
        for name, runs in taken.items():
            note = {"spark": "Spark 4.2, at least once", "flink": "exactly once"}.get(name, "")
            suite.add_runs("kafka_to_kafka", name, records, runs, note=note)


def installed(suite: Suite, name: str) -> bool:
    """True when a peer and its connectors are here."""
    if not suite.engine(name):
        return False
    if name == "spark" and not connectors():
        suite.absent["spark with connectors"] = "its environment is not installed: run `scripts/setup bench`"
        return False
    return True


def connectors() -> bool:
    """The older Spark for which Maven has connectors."""
    return Path(os.environ.get("TIDEMILL_SPARK_CONNECTORS_VENV", "-"), "complete").exists()


def once(
    suite: Suite,
    program: Path,
    brokers: str,
    source: str,
    target: str,
    name: str,
    records: int,
    taken: dict[str, list[Measured]],
    turn: int,
) -> None:
    """One run; what it wrote is read the first time."""
    folder = suite.fresh(f"kafka_to_kafka-{name}")
    if name.startswith("loop"):
        verb = "copy-txn" if name == "loop-transactions" else "copy"
        took = measure([str(program), verb, brokers, source, target, str(records)], folder / "log.txt")
        taken[name].append(took)
        return
    if name == "tidemill":
        env = {"BROKERS": brokers, "FROM": source, "TO": target}
        took = suite.tidemill(HERE / "pipelines" / "kafka_to_kafka.sql", folder, env)
    else:
        took = peer(suite, "kafka_to_kafka", name, folder, {"brokers": brokers, "from": source, "to": target})
    if turn == 0:
        broker.committed(brokers, target, records)
    taken[name].append(took)


def peer(suite: Suite, workload: str, name: str, folder: Path, options: dict[str, str]) -> Measured:
    """A run of Spark or Flink with its connectors."""
    command, env = peer_command(suite, workload, name, folder, options)
    return measure(command, folder / "log.txt", env)


def peer_command(
    suite: Suite, workload: str, name: str, folder: Path, options: dict[str, str]
) -> tuple[list[str], dict[str, str]]:
    """How it is started."""
    jars = sorted(broker.jars(name, folder).glob("*.jar"))
    env = os.environ | {"CORES": str(CORES)}
    if name == "spark":
        environment = "TIDEMILL_SPARK_CONNECTORS_VENV"
        env["PYSPARK_PYTHON"] = str(Path(os.environ[environment]) / "bin" / "python")
        options = options | {"jars": ",".join(map(str, jars)), "delta": "yes"}
        return spark(environment)(Job(suite.program, workload, Path("-"), folder, options)), env
    engine: Engine = ENGINES[name]
    options = options | {"jar": str(jars[0])}
    return script(engine.environment, "flink_stream")(Job(suite.program, workload, Path("-"), folder, options)), env
