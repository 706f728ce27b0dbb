"""Kafka -> sliding window -> Kafka, exactly once: read back by a plain consumer of committed records."""

import json
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path

import aims
import checkpoint
import events
import outputs
from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from life import Failed

PARTITIONS = 2
PATIENCE_SECONDS = 20.0
# the partitions are not read evenly: one may be this many portions ahead of the other
AHEAD = 35
DELAY = timedelta(minutes=40)
PREFED = 50
SQL = """
SET snapshot_bytes = 24KiB;
SET epochs_retained = 5;
CREATE TABLE events (user STRING, session STRING, ts TIMESTAMP, amount INT,
                     WATERMARK FOR ts AS ts - INTERVAL '40 minutes')
    WITH (connector = 'kafka', bootstrap_servers = '{brokers}', topic = '{events}', starting_offsets = 'earliest',
          maxOffsetsPerTrigger = {records}, format = 'json');
CREATE TABLE results WITH (connector = 'kafka', topic = '{results}', key = 'user', format = 'json', {sink});
INSERT INTO results
SELECT window.start AS opened, window.end AS closed, user, count(*) AS events, count(DISTINCT session) AS sessions,
       sum(amount) AS total, max(amount) AS largest, avg(amount) AS mean
FROM events GROUP BY window(ts, '5 minutes', '1 minute'), user;
"""


class KafkaKafka:
    """The pipeline, its topics and its dead letters, which are Parquet files in the checkpoint.

    `prefix` is that of its topics, which have so many `copies`, `sink` more options of the sink, such as other brokers.
    """

    name = "kafka-kafka"
    aims = aims.GENERAL
    query = "loop"
    last_runs = 1

    def __init__(
        self,
        folder: Path,
        seed: int,
        brokers: str,
        prefix: str = "",
        sink: dict[str, str] | None = None,
        copies: int = 1,
    ) -> None:
        self.folder = folder
        self.prefix = prefix
        self.checkpoint = folder / "loop.ckpt"
        self.seed = seed
        self.brokers = brokers
        self.fed = 0
        self.oracle = events.Oracle(DELAY, AHEAD)
        self.producer = Producer({"bootstrap.servers": brokers, "acks": "all", "linger.ms": 0, "log_level": 2})
        admin = AdminClient({"bootstrap.servers": brokers})
        topics = [NewTopic(prefix + topic, PARTITIONS, copies) for topic in ("events", "loop", "undisturbed")]
        for made in admin.create_topics(topics).values():
            made.result(PATIENCE_SECONDS)
        for name, records in (("loop", 40), ("undisturbed", 200)):
            options = {"bootstrap_servers": brokers} | (sink or {})
            options = ", ".join(f"{option} = '{value}'" for option, value in options.items())
            topics = {"events": f"{prefix}events", "results": prefix + name}
            sql = SQL.format(brokers=brokers, records=records, sink=options, **topics)
            (folder / f"{name}.sql").write_text(sql, encoding="utf-8")
        for _ in range(PREFED):
            self.feed()

    def feed(self) -> None:
        """Some more records; they are on the broker when this returns."""
        portion = events.portion(self.seed, self.fed)
        for at, line in enumerate(portion.lines):
            self.producer.produce(f"{self.prefix}events", line, key=str(at), partition=at % PARTITIONS)
        if self.producer.flush(PATIENCE_SECONDS):
            raise Failed("the broker did not take the input")
        self.oracle.add(portion)
        self.fed += 1

    def directories(self) -> dict[str, Path]:
        """Nothing but the checkpoint can be watched."""
        return {}

    def situation(self) -> str:
        """What the next start has to recover from; what the broker holds is not asked for."""
        letters = checkpoint.files_epoch(self.checkpoint / "dead_letters")
        return checkpoint.situation(checkpoint.read(self.checkpoint), [letters])

    def results(self, name: str) -> Counter[tuple]:
        """The committed records of a topic, as a plain consumer reads them."""
        rows = Counter()
        for message in self.read(name, "read_committed"):
            row = json.loads(message.value())
            row = {column: row.get(column) for column in events.COLUMNS}
            for column in ("opened", "closed"):
                row[column] = round(datetime.fromisoformat(row[column]).timestamp() * 1000)
            if (message.key() or b"").decode() != (row["user"] or ""):
                raise Failed(f"a record of topic {name} has the key {message.key()} and the row {row}")
            rows[tuple(row.values())] += 1
        return rows

    def read(self, topic: str, isolation: str) -> list[Message]:
        """All records of a topic that a plain consumer sees."""
        topic = self.prefix + topic
        consumer = Consumer(
            {
                "bootstrap.servers": self.brokers,
                "group.id": "kill-loop-reader",
                "isolation.level": isolation,
                "log_level": 2,
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "enable.partition.eof": True,
            }
        )
        consumer.assign([TopicPartition(topic, partition, 0) for partition in range(PARTITIONS)])
        messages, open_partitions = [], set(range(PARTITIONS))
        while open_partitions:
            message = consumer.poll(PATIENCE_SECONDS)
            if message is None:
                raise Failed(f"topic {topic} has no end for a reader ({isolation}): a transaction hangs")
            if message.error() is None:
                messages.append(message)
            elif message.error().code() == KafkaError._PARTITION_EOF:
                open_partitions.discard(message.partition())
            else:
                raise Failed(f"cannot read topic {topic}: {message.error()}")
        consumer.close()
        return messages

    def letters(self, name: str) -> Counter[bytes]:
        """The malformed records that a run has kept: the published files, and no others."""
        letters = outputs.published(self.folder / f"{name}.ckpt" / "dead_letters")
        return Counter(letters["value"].to_pylist()) if letters else Counter()

    def inspect(self) -> list[str]:
        """How much of the topic belongs to killed epochs, which readers of committed records never see."""
        whole, seen = len(self.read("loop", "read_uncommitted")), len(self.read("loop", "read_committed"))
        return [f"topic loop: {whole} records, of which {whole - seen} are of killed epochs"]
