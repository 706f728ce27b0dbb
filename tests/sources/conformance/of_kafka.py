"""Kafka, and Event Hubs over its Kafka endpoint, on a broker that asks who is there."""

import json
from pathlib import Path

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AclOperation, NewTopic, ResourceType
from kafka_secured import PASSWORD, SHARED_KEY, secured
from place import Place, Start, Subject

ANSWER_SECONDS = 30
BROKEN = b'{"lane": 0, "number": "no'
ALLOWED = (AclOperation.READ, AclOperation.DESCRIBE)


class Topic(Place):
    """A topic with two partitions, a lane each."""

    frugal = {"buffer_bytes": "4MiB"}

    def __init__(self, broker, name: str, user: str, options: dict[str, object], secret: str) -> None:
        self.broker, self.name, self.secrets = broker, name, (secret,)
        broker.admin.create_topics([NewTopic(name, 2, 1)])[name].result(ANSWER_SECONDS)
        broker.allow(user, ResourceType.TOPIC, name, *ALLOWED)
        broker.allow(user, ResourceType.GROUP, name, AclOperation.READ)
        self.options = {"format": "json", "group_id": name, "starting_offsets": "earliest", **options}
        self.producer = Producer({"bootstrap.servers": broker.node.address, "acks": "all", "log_level": 2})

    def feed(self, texts: list[str]) -> None:
        for at, text in enumerate(texts):
            self.producer.produce(self.name, text, partition=at % 2)
        assert self.producer.flush(ANSWER_SECONDS) == 0

    def starts(self) -> dict[str, Start]:
        first, end = (json.dumps({self.name: offsets}) for offsets in ({"0": -2, "1": 0}, {"0": -1, "1": -1}))
        return {
            "earliest": Start({"starting_offsets": "earliest"}, True),
            "latest": Start({"starting_offsets": "latest"}, False),
            "offsets": Start({"starting_offsets": first}, True),
            "ends": Start({"starting_offsets": end}, False),
            "timestamp": Start({"starting_timestamp": "1000"}, True),
        }

    def spoil(self) -> tuple[bytes, str] | None:
        self.producer.produce(self.name, BROKEN, partition=1)
        assert self.producer.flush(ANSWER_SECONDS) == 0
        return BROKEN, self.name

    def acknowledged(self) -> bool | None:
        reader = Consumer({"bootstrap.servers": self.broker.node.address, "group.id": self.name})
        try:
            asked = [TopicPartition(self.name, number) for number in range(2)]
            return any(one.offset > 0 for one in reader.committed(asked, ANSWER_SECONDS))
        finally:
            reader.close()


class Kafka(Subject):
    """Over TLS, with a password."""

    name = "kafka"

    def __init__(self, folder: Path) -> None:
        self.broker = secured(folder)

    def place(self, name: str) -> Place:
        options = {
            "connector": "kafka",
            "topic": name,
            "bootstrap_servers": self.broker.sasl,
            "kafka.security.protocol": "SASL_SSL",
            "kafka.sasl.mechanism": "PLAIN",
            "kafka.ssl.ca.location": str(self.broker.authority),
            "kafka.sasl.username": "alice",
            "kafka.sasl.password": PASSWORD,
        }
        return Topic(self.broker, name, "alice", options, PASSWORD)

    def close(self) -> None:
        self.broker.close()


class EventHubs(Kafka):
    """With a connection string; a broker of Apache Kafka stands in for the service."""

    name = "eventhubs"

    def place(self, name: str) -> Place:
        options = {"connector": "eventhubs", "event_hub": name, "connection_string": self.broker.connection_string}
        return Topic(self.broker, name, "$ConnectionString", options, SHARED_KEY)
