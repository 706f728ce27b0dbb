"""What becomes of a query when brokers, partitions and topics change under it: no record is lost, none comes twice."""

import threading

import pytest
from confluent_kafka import KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic
from harness import stop
from kinds.kafka import broker as started
from kinds.kafka import cluster_id, controller
from reading import Reading, until
from sequences import Sequences

ANSWER_SECONDS = 30
RECREATED = "was deleted and made again"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A controller and two brokers; topics have a copy on each."""
    folder, name = tmp_path_factory.mktemp("cluster"), cluster_id()
    keeper = controller(folder / "controller", name)
    nodes = [started(folder / str(number), keeper=keeper, cluster=name, number=number, copies=2) for number in (1, 2)]
    yield nodes
    for node in [*nodes, keeper]:
        stop(node.process)


class Feeding:
    """Writes numbered records to the partitions of a topic, until it is told to end; each is on the brokers in the end."""

    def __init__(self, brokers: str, topic: str, partitions: int) -> None:
        settings = {"bootstrap.servers": brokers, "acks": "all", "linger.ms": 1, "enable.idempotence": True}
        # it has to hear of new partitions soon
        self.producer = Producer({**settings, "topic.metadata.refresh.interval.ms": 300})
        self.topic, self.partitions = topic, partitions
        self.sequences = Sequences()
        self.enough = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self) -> None:
        """A record for each partition, again and again."""
        while not self.enough.wait(0.01):
            for partition in range(self.partitions):
                self.send(partition, self.sequences.next(partition))
            self.producer.poll(0)

    def send(self, partition: int, value: str) -> None:
        """Hands a record over, once the producer knows its partition."""
        while True:
            try:
                self.producer.produce(self.topic, value, partition=partition)
                return
            except KafkaException as error:
                if error.args[0].code() != KafkaError._UNKNOWN_PARTITION:
                    raise
                self.producer.poll(0.05)

    def end(self) -> Sequences:
        """All that was written."""
        self.enough.set()
        self.thread.join()
        assert self.producer.flush(60) == 0
        return self.sequences


def ended(process) -> None:
    """The query ends in good order."""
    process.terminate()
    _, told = process.communicate(timeout=60)
    assert process.returncode == 0, told


def test_brokers_restart_and_leaders_change(cluster, tmp_path) -> None:
    first, second = cluster
    both = f"{first.address},{second.address}"
    admin = AdminClient({"bootstrap.servers": both})
    admin.create_topics([NewTopic("moving", 4, 2, config={"min.insync.replicas": "1"})])["moving"].result(
        ANSWER_SECONDS
    )
    reading = Reading(
        tmp_path / "moving", {"bootstrap_servers": both, "topic": "moving", "startingOffsets": "earliest"}
    )
    feeding = Feeding(both, "moving", 4)
    process = reading.start()
    reading.wait_for(100, process)

    def leaders() -> set[int]:
        """Who leads the partitions."""
        partitions = admin.list_topics("moving", timeout=ANSWER_SECONDS).topics["moving"].partitions
        return {about.leader for about in partitions.values()}

    def in_sync() -> bool:
        partitions = admin.list_topics("moving", timeout=ANSWER_SECONDS).topics["moving"].partitions
        return all(len(about.isrs) == 2 for about in partitions.values())

    assert leaders() == {1, 2}
    for node, number in ((first, 1), (second, 2)):
        until(in_sync, lambda: "the copies are not in sync", process)
        node.kill()
        until(lambda number=number: number not in leaders(), lambda: f"leaders: {leaders()}", process)
        seen = len(reading.rows())
        reading.wait_for(seen + 100, process)
        node.start()
    until(in_sync, lambda: "the copies are not in sync", process)
    sequences = feeding.end()
    reading.wait_for(sequences.total(), process)
    ended(process)
    assert sequences.wrong(reading.values()) == []


def test_partitions_are_added_while_the_query_runs_and_while_it_does_not(broker, topic, tmp_path) -> None:
    name = topic(partitions=4)
    options = {"bootstrap_servers": broker.node.address, "topic": name, "metadata_refresh": "500ms"}
    # `latest`: what is found later is read whole all the same
    reading = Reading(tmp_path / "added", options)
    process = reading.start()
    journal = reading.folder / "ckpt" / "journal"

    def pinned() -> bool:
        """The first plan, which holds where each partition begins, is in the checkpoint."""
        return any(name.encode() in file.read_bytes() for file in journal.glob("*.log"))

    until(pinned, lambda: "the beginning is not pinned", process)
    feeding = Feeding(broker.node.address, name, 4)
    reading.wait_for(100, process)
    broker.admin.create_partitions([NewPartitions(name, 6)])[name].result(ANSWER_SECONDS)
    feeding.partitions = 6
    reading.wait_for(len(reading.rows()) + 200, process)
    ended(process)
    broker.admin.create_partitions([NewPartitions(name, 8)])[name].result(ANSWER_SECONDS)
    feeding.partitions = 8
    seen = feeding.sequences.total()
    until(lambda: feeding.sequences.total() > seen + 100, lambda: "nothing is written")
    sequences = feeding.end()
    reading.run()
    assert sequences.wrong(reading.values()) == []
    assert sum(count > 0 for count in sequences.made.values()) == 8


def remade(broker, name: str, partitions: int) -> None:
    """Deletes a topic and makes it again."""
    broker.admin.delete_topics([name])[name].result(ANSWER_SECONDS)

    def made() -> bool:
        try:
            broker.admin.create_topics([NewTopic(name, partitions, 1)])[name].result(ANSWER_SECONDS)
        except Exception as error:  # still being deleted
            assert "exists" in str(error).lower(), error
            return False
        return True

    until(made, lambda: f"topic {name} is not made again")


@pytest.mark.parametrize("lenient", [False, True], ids=["stops", "goes-on"])
def test_a_topic_made_again_while_the_query_is_away(broker, topic, producer, tmp_path, lenient) -> None:
    """The new topic holds the old positions: only its id tells that their records are others."""
    name = topic(partitions=2, more="-lenient" if lenient else "")
    options = {"bootstrap_servers": broker.node.address, "topic": name, "startingOffsets": "earliest"}
    reading = Reading(tmp_path / "away", options)
    for partition in range(2):
        producer.send(name, partition, [f"old/{partition}/{at}" for at in range(5)])
    reading.run()
    remade(broker, name, 2)
    for partition in range(2):
        producer.send(name, partition, [f"new/{partition}/{at}" for at in range(20)])
    if not lenient:
        told = reading.run(code=65)
        assert RECREATED in told and "fail_on_data_loss" in told
    reading.set({**options, "fail_on_data_loss": "false"})
    told = reading.run()
    assert RECREATED in told
    values = reading.values()
    assert sorted(value for value in values if value.startswith("new")) == sorted(
        f"new/{partition}/{at}" for partition in range(2) for at in range(20)
    )
    assert len(values) == 50
    # the new id is remembered
    producer.send(name, 0, ["new/more"])
    assert RECREATED not in reading.run()
    assert reading.values()[50:] == ["new/more"]


def test_a_topic_made_again_under_the_query_stops_it(broker, topic, producer, tmp_path) -> None:
    name = topic(partitions=1)
    options = {"bootstrap_servers": broker.node.address, "topic": name, "metadata_refresh": "200ms"}
    reading = Reading(tmp_path / "under", {**options, "startingOffsets": "earliest"})
    producer.send(name, 0, ["old"])
    process = reading.start()
    reading.wait_for(1, process)
    remade(broker, name, 1)
    out, told = process.communicate(timeout=60)
    assert process.returncode == 65, f"{out}{told}"
    assert "deleted" in told or "made again" in told


def test_records_that_retention_took_stop_the_query(broker, topic, producer, tmp_path) -> None:
    name = topic(partitions=1)
    options = {"bootstrap_servers": broker.node.address, "topic": name, "startingOffsets": "earliest"}
    reading = Reading(tmp_path / "retention", options)
    producer.send(name, 0, ["read"])
    reading.run()
    producer.send(name, 0, [f"lost/{at}" for at in range(9)])
    for done in broker.admin.delete_records([TopicPartition(name, 0, 8)]).values():
        done.result(ANSWER_SECONDS)
    told = reading.run(code=65)
    assert "offsets 1 to 8 were deleted before they were read" in told
    reading.set({**options, "failOnDataLoss": "false"})
    assert "offsets 1 to 8" in reading.run()
    assert reading.values() == ["read", "lost/7", "lost/8"]
