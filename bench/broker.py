"""The Kafka broker of the workloads: the one of tests/services, its topics, and what reads and writes them."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from confluent_kafka import Consumer
from confluent_kafka.admin import AdminClient, NewTopic
from measure import keep_children

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests" / "services"))

import maven  # noqa: E402
import services  # noqa: E402

PARTITIONS = 2
SECONDS_MAX = 120.0


@contextlib.contextmanager
def running() -> Iterator[str]:
    """A broker; gives its address. It is no part of what is measured."""
    with services.running(["kafka"]) as env:
        keep_children()
        yield env["KAFKA_BOOTSTRAP"]


def topic(brokers: str, name: str) -> str:
    """A new topic."""
    admin = AdminClient({"bootstrap.servers": brokers})
    admin.create_topics([NewTopic(name, PARTITIONS, 1)])[name].result(30)
    return name


def loop(out: Path) -> Path:
    """The bare loop over the client library, compiled."""
    program = out / "kafka_loop"
    source = HERE / "limits" / "kafka_loop.c"
    subprocess.run(["cc", "-O2", "-o", str(program), str(source), "-lrdkafka"], check=True)
    return program


def jars(name: str, folder: Path) -> Path:
    """The connectors of a peer, which Maven resolves from jars/NAME.pom.xml."""
    return maven.jars(HERE / "jars" / f"{name}.pom.xml", f"bench-{name}", folder)


def committed(brokers: str, name: str, records: int) -> dict[str, int]:
    """What a topic holds for a reader of committed records: records, different ids, and fields in the first one."""
    consumer = Consumer(
        {
            "bootstrap.servers": brokers,
            "group.id": f"count-{name}",
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
        }
    )
    consumer.subscribe([name])
    seen, ids, ended = 0, set(), set()
    deadline = time.monotonic() + SECONDS_MAX
    while len(ended) < PARTITIONS and time.monotonic() < deadline:
        for message in consumer.consume(10_000, 1.0):
            if message.error():
                ended.add(message.partition())
                continue
            event = json.loads(message.value())
            seen += 1
            ids.add(event["event_id"])
            if not event["user_masked"].startswith("u***"):
                raise RuntimeError(f"a record of {name} is not masked: {event}")
    consumer.close()
    if (seen, len(ids)) != (records, records):
        raise RuntimeError(f"{name} holds {seen} records, {len(ids)} of them different; expected {records}")
    return {"records": seen}
