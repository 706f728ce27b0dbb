"""An archive of Event Hubs Capture, written by the sink `capture`, and the event hub itself after it: every event once.

The event hub is a topic of a real Kafka broker; its retention is played by deleting records.
"""

import random
import signal
import time

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AclOperation, ResourceType
from reading import Reading
from sequences import Sequences

PARTITIONS = 3
ANSWER_SECONDS = 30
SELECT = "CAST(body AS STRING) AS value, partition, sequenceNumber, enqueuedTime, partitionKey, properties['n'] AS n"
CAPTURE = """
CREATE TABLE hub WITH (connector = 'eventhubs', connection_string = '{connection_string}', event_hub = '{event_hub}',
                       startingOffsets = 'earliest', maxOffsetsPerTrigger = 60);
CREATE TABLE archive WITH (connector = 'capture', path = 'archive', namespace = 'shop', event_hub = '{event_hub}',
                           size_limit_in_bytes = 65536, encoding = '{encoding}');
INSERT INTO archive SELECT body, partition, offset, sequenceNumber, enqueuedTime, partitionKey, properties FROM hub;
"""


class Hub:
    """An event hub with numbered events, and its archive."""

    def __init__(self, broker, name: str, producer, folder) -> None:
        self.broker, self.name, self.producer, self.folder = broker, name, producer, folder
        self.sequences = Sequences()
        self.archive = folder / "capture" / "archive"

    @property
    def options(self) -> dict[str, str]:
        """Of a table that reads it."""
        return {"connection_string": self.broker.connection_string, "event_hub": self.name}

    def send(self, count: int) -> None:
        """So many more events in each partition, some with a key and a property."""
        for partition in range(PARTITIONS):
            for _ in range(count):
                number = self.sequences.made[partition]
                more = {"key": f"k{number}", "headers": [("n", b"%d" % number)]} if number % 3 == 0 else {}
                # 2 KB each, so that the archive has several files
                text = self.sequences.next(partition)
                value = text[:-1] + f', "filler": "{"x" * 2000}"' + "}"
                self.producer.send(self.name, partition, [value], **more)

    def capture(self, encoding: str = "Avro") -> None:
        """Archives what there is; a later call goes on."""
        capturing = Reading(self.folder / "capture", {})
        capturing.sql.write_text(CAPTURE.format(encoding=encoding, **self.options), encoding="utf-8")
        capturing.run()

    def forget(self, partition: int, before: int) -> None:
        """The event hub keeps no events before this one."""
        gone = [TopicPartition(self.name, partition, before)]
        for done in self.broker.admin.delete_records(gone).values():
            done.result(ANSWER_SECONDS)

    def files(self, partition: int) -> list:
        """The archives of a partition, in order."""
        return sorted((self.archive / "shop" / self.name / str(partition)).rglob("*.avro"))

    def reading(self, folder: str, **more: object) -> Reading:
        """A query that reads the archive first."""
        options = {**self.options, "archive": self.archive, **more}
        return Reading(self.folder / folder, options, SELECT, connector="eventhubs")


@pytest.fixture
def hub(broker, topic, producer, tmp_path):
    """Makes one."""
    name = topic(PARTITIONS)
    broker.allow("$ConnectionString", ResourceType.TOPIC, name, AclOperation.READ, AclOperation.DESCRIBE)
    return Hub(broker, name, producer, tmp_path)


def test_the_archive_is_read_and_then_the_event_hub(hub) -> None:
    hub.send(80)
    hub.capture()
    assert all(len(hub.files(partition)) > 1 for partition in range(PARTITIONS))
    # of one partition the event hub has some that the archive has too, of another only what comes later
    hub.forget(0, 40)
    hub.forget(1, 80)
    hub.send(20)
    query = hub.reading("whole")
    query.run()
    assert hub.sequences.wrong(query.values()) == []
    for row in query.rows():
        number = row["sequenceNumber"]
        keyed = (f"k{number}", str(number)) if number % 3 == 0 else (None, None)
        assert (row.get("partitionKey"), row.get("n")) == keyed
        assert row["enqueuedTime"].startswith("20")
    # another start, and more of both
    hub.send(5)
    query.run()
    assert hub.sequences.wrong(query.values()) == []


def test_an_archive_that_grows_meanwhile_is_read_on(hub) -> None:
    hub.send(30)
    hub.capture("AvroDeflate")
    query = hub.reading("grown", maxOffsetsPerTrigger=25)
    query.run()
    hub.send(30)
    hub.capture("AvroDeflate")
    for partition in range(PARTITIONS):
        hub.forget(partition, 55)
    hub.send(3)
    query.run()
    assert hub.sequences.wrong(query.values()) == []


def test_a_missing_archive_stops_the_query(hub) -> None:
    hub.send(100)
    hub.capture()
    for partition in range(PARTITIONS):
        hub.forget(partition, 100)
    hub.files(1)[1].unlink()
    query = hub.reading("missing")
    told = query.run(code=65)
    assert "partition 1: events" in told and "are in no archive" in told and "fail_on_data_loss" in told
    query.set({**hub.options, "archive": hub.archive, "fail_on_data_loss": "false"}, SELECT, "eventhubs")
    assert "are in no archive" in query.run()
    wrong = hub.sequences.wrong(query.values())
    assert len(wrong) == 1 and "rows lost" in wrong[0], wrong


def test_a_query_killed_between_archive_and_event_hub_loses_and_doubles_nothing(hub) -> None:
    hub.send(100)
    hub.capture()
    for partition in range(PARTITIONS):
        hub.forget(partition, 90)
    hub.send(20)
    query = hub.reading("killed", maxOffsetsPerTrigger=7)
    dice = random.Random(11)
    for _ in range(6):
        process = query.start()
        time.sleep(dice.uniform(0.2, 0.9))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        hub.send(1)
    query.run()
    assert hub.sequences.wrong(query.values()) == []


def test_an_archive_is_read_from_its_beginning_only(hub) -> None:
    told = hub.reading("latest", startingOffsets="latest").run(code=78)
    assert "reads an archive, and that from its beginning" in told
