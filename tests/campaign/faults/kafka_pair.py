"""Kafka as source and sink on two brokers, each of which holds every partition: leaders and coordinators move.

{"kafka-pair": "leaders-moved"}      one broker is killed, then the other; the one that is left goes on alone
{"kafka-pair": "replicas-missing"}   one is killed and the other may not write alone: NOT_ENOUGH_REPLICAS, until it is back
"""

import signal
import subprocess
import time
from pathlib import Path

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource
from cycle import Program
from harness import stop
from kafka_kafka import PARTITIONS, KafkaKafka
from kinds.kafka import Node, broker, cluster_id, controller
from life import Failed
from scene import SECONDS_MAX, SNAPSHOTS, Scene
from validator import compare

KINDS = ("kafka-pair",)
POLL_SECONDS = 0.1
ROWS = 10


class Pair:
    """Two brokers and their controller."""

    def __init__(self, folder: Path) -> None:
        cluster = cluster_id()
        self.controller = controller(folder / "controller", cluster)
        self.brokers = [
            broker(folder / str(number), None, self.controller, cluster, number, copies=2) for number in (1, 2)
        ]
        self.address = ",".join(one.address for one in self.brokers)

    def close(self) -> None:
        """Ends all of it."""
        for node in (*self.brokers, self.controller):
            stop(node.process)


class Query:
    """The pipeline on them."""

    def __init__(self, pair: Pair, name: str, scene: Scene) -> None:
        folder = scene.folder / "kafka"
        folder.mkdir()
        self.pair, self.topic = pair, f"{name}-loop"
        self.admin = AdminClient({"bootstrap.servers": pair.address, "log_level": 2})
        self.pipeline = KafkaKafka(folder, 7, pair.address, prefix=f"{name}-", copies=2)
        self.program = Program(scene.program_path, folder, [SNAPSHOTS, f"name={name}"], self.pipeline.feed)
        self.life = self.program.start("--trigger", "processing-time 2ms")
        self.goes_on()

    def rows(self) -> int:
        """Where the results end; a broker that is asked may not lead them any more."""
        deadline = time.monotonic() + SECONDS_MAX
        while True:
            reader = Consumer({"bootstrap.servers": self.pair.address, "group.id": "looks", "log_level": 2})
            parts = [TopicPartition(self.topic, number) for number in range(PARTITIONS)]
            try:
                return sum(reader.get_watermark_offsets(part, SECONDS_MAX)[1] for part in parts)
            except KafkaException as error:
                if time.monotonic() > deadline:
                    raise Failed("nobody says where the results end") from error
                time.sleep(POLL_SECONDS)
            finally:
                reader.close()

    def goes_on(self) -> None:
        """Waits for more rows, with more input if need be."""
        wanted, deadline = self.rows() + ROWS, time.monotonic() + SECONDS_MAX
        while self.life.poll() is None and time.monotonic() < deadline:
            if self.rows() >= wanted:
                return
            self.pipeline.feed()
            time.sleep(POLL_SECONDS)
        raise Failed(f"the program does not go on (code {self.life.poll()})\n{self.program.told()}")

    def leaders(self) -> set[int]:
        """Who leads the results."""
        return {part.leader for part in self.partitions()}

    def partitions(self) -> list:
        """What the brokers say of the results' partitions."""
        return list(self.admin.list_topics(self.topic, SECONDS_MAX).topics[self.topic].partitions.values())

    def wait(self, condition, what: str) -> None:
        """Waits for the brokers."""
        deadline = time.monotonic() + SECONDS_MAX
        while not condition():
            if time.monotonic() > deadline:
                raise Failed(what)
            time.sleep(POLL_SECONDS)

    def back(self, node: Node) -> None:
        """Starts a broker again, and waits until it holds all that the other does, the brokers' own topics too."""
        node.start()

        def is_whole() -> bool:
            topics = self.admin.list_topics(timeout=SECONDS_MAX).topics.values()
            return all(len(part.isrs) == 2 for topic in topics for part in topic.partitions.values())

        self.wait(is_whole, "a broker does not catch up")

    def finish(self, what: str) -> str:
        """Runs over the rest and compares."""
        self.life.send_signal(signal.SIGTERM)
        try:
            code = self.life.wait(SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self.life.kill()
            code = self.life.wait()
        if code:
            raise Failed(f"the program ended with code {code}\n{self.program.told()}")
        self.program.finish(SECONDS_MAX)
        wrong = compare(self.pipeline.oracle.rows(), self.pipeline.results("loop"))
        wrong += compare(self.pipeline.oracle.bad, self.pipeline.letters("loop"))
        if wrong:
            raise Failed("\n".join(wrong))
        return f"{what}; {self.pipeline.oracle.rows().total()} rows, all there once"


def run(scene: Scene, _kind: str, what: str) -> str:
    """The scenario, on brokers that both of them share."""
    pair = scene.services.shared(Pair)
    return SCENARIOS[what](Query(pair, f"{what}-{time.monotonic_ns()}", scene))


def leaders_moved(query: Query) -> str:
    """Every leader and coordinator moves at least once."""
    for number, node in enumerate(query.pair.brokers, 1):
        if number not in query.leaders():
            query.wait(lambda: len(query.leaders()) == PARTITIONS, "no leader is where it could be moved from")
        node.kill()
        query.wait(lambda number=number: number not in query.leaders(), "no leader moves")
        query.goes_on()
        query.back(node)
    return query.finish("each of two brokers was killed, and the other went on")


def replicas_missing(query: Query) -> str:
    """Nothing is written while the second copy cannot be; nothing is lost by that."""
    both = ConfigEntry("min.insync.replicas", "2", incremental_operation=AlterConfigOpType.SET)
    topic = ConfigResource(ConfigResource.Type.TOPIC, query.topic, incremental_configs=[both])
    query.admin.incremental_alter_configs([topic])[topic].result(SECONDS_MAX)
    node = query.pair.brokers[0]
    node.kill()
    query.wait(lambda: all(len(part.isrs) == 1 for part in query.partitions()), "the broker stays among the replicas")
    refused = []
    probe = Producer({"bootstrap.servers": query.pair.address, "acks": "all", "retries": 0, "log_level": 2})
    probe.produce(query.topic, "probe", partition=0, on_delivery=lambda error, _: refused.append(error))
    probe.flush(SECONDS_MAX)
    if not refused or refused[0] is None or refused[0].code() != KafkaError.NOT_ENOUGH_REPLICAS:
        raise Failed(f"a write to one replica was not refused: {refused}")
    for _ in range(3):
        query.pipeline.feed()
    query.back(node)
    query.goes_on()
    return query.finish("writes were refused while a replica was missing")


SCENARIOS = {"leaders-moved": leaders_moved, "replicas-missing": replicas_missing}
