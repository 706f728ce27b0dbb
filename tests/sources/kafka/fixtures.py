"""A broker for all tests of the source: with TLS, SASL and ACLs on, and an open listener."""

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1] / "services"), str(HERE.parent), str(HERE)]

from confluent_kafka import Producer  # noqa: E402
from confluent_kafka.admin import NewTopic  # noqa: E402
from kafka_secured import Secured, secured  # noqa: E402
from kafka_tools import Tools  # noqa: E402

ANSWER_SECONDS = 30


@pytest.fixture(scope="session")
def broker(tmp_path_factory):
    """The broker."""
    one = secured(tmp_path_factory.mktemp("kafka"))
    yield one
    one.close()


@pytest.fixture
def tools(broker, tmp_path):
    """Kafka's own tools."""
    return Tools(broker.node.address, tmp_path)


@pytest.fixture
def topic(broker, request):
    """Makes topics that are named for the test."""

    def make(partitions: int = 2, more: str = "") -> str:
        name = f"{request.node.name.split('[')[0].removeprefix('test_')}{more}"
        broker.admin.create_topics([NewTopic(name, partitions, 1)])[name].result(ANSWER_SECONDS)
        return name

    return make


@pytest.fixture
def producer(broker):
    """A producer of confluent-kafka; `send` waits for the broker."""
    return Sender(broker)


class Sender:
    """Writes records."""

    def __init__(self, broker: Secured) -> None:
        self.producer = Producer({"bootstrap.servers": broker.node.address, "acks": "all", "linger.ms": 0})

    def send(self, topic: str, partition: int, values: list[str], **more: object) -> None:
        """Writes values to a partition."""
        for value in values:
            self.producer.produce(topic, value, partition=partition, **more)
        assert self.producer.flush(ANSWER_SECONDS) == 0
