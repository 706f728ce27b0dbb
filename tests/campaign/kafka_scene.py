"""Where the scenarios with Kafka take place: one broker for all of them, a proxy before it, and a pipeline of its own for
each, from a topic to a topic.

The program reads from the broker itself and writes through the proxy.
"""

import signal
import subprocess
import time
from pathlib import Path

from confluent_kafka import Consumer, TopicPartition
from cycle import Program, stopped
from harness import free_port, stop
from kafka_kafka import PARTITIONS, KafkaKafka
from kafka_proxy import END_TXN, KafkaProxy
from kinds.kafka import broker, cluster_id, controller
from life import Failed
from scene import SECONDS_MAX, SNAPSHOTS
from validator import compare

POLL_SECONDS = 0.05


class Cluster:
    """One broker, which may be killed, its controller, and the proxy."""

    def __init__(self, folder: Path) -> None:
        inner, cluster = free_port(), cluster_id()
        self.proxy = KafkaProxy(inner)
        # a process of its own: what the cluster knows of its topics outlives the broker, as in any real cluster
        self.controller = controller(folder / "controller", cluster)
        self.broker = broker(folder / "broker", (inner, self.proxy.port), self.controller, cluster)

    def close(self) -> None:
        """Ends all of it."""
        stop(self.broker.process)
        stop(self.controller.process)
        self.proxy.__exit__()


class KafkaScene:
    """A pipeline with topics, group and checkpoint of its own. `options`: more of the sink's."""

    def __init__(self, cluster: Cluster, name: str, program: Path, folder: Path, options: dict[str, str]) -> None:
        self.proxy, self.broker, self.folder = cluster.proxy, cluster.broker, folder
        sink = {"bootstrap_servers": f"127.0.0.1:{cluster.proxy.port}", "connect_timeout": "3 seconds", **options}
        self.pipeline = KafkaKafka(folder, 7, cluster.broker.address, prefix=f"{name}-", sink=sink)
        self.program = Program(program, folder, [SNAPSHOTS, f"name={name}"], self.pipeline.feed)
        self.topic = f"{name}-loop"

    def begin(self, *options: str) -> subprocess.Popen:
        """Starts the program; returns when it commits epochs."""
        life = self.program.start("--trigger", "processing-time 2ms", *options)
        self.goes_on(life)
        return life

    def goes_on(self, life: subprocess.Popen, epochs: int = 3) -> None:
        """Waits until so many more transactions were ended, with more input if need be."""
        wanted = self.proxy.counts[END_TXN] + epochs
        self.until(life, lambda: self.proxy.counts[END_TXN] >= wanted, "does not go on")

    def until(self, life: subprocess.Popen, condition, what: str) -> None:
        """Waits for a condition while the program runs."""
        deadline = time.monotonic() + SECONDS_MAX
        while life.poll() is None and time.monotonic() < deadline:
            if self.program.until(life, lambda: life.poll() is not None or condition()) and life.poll() is None:
                return
        raise Failed(f"the program {what} (code {life.poll()})\n{self.program.told()}")

    def hold_commit(self, life: subprocess.Popen) -> None:
        """Has the program wait for the end of a transaction that the broker has not heard of."""
        self.proxy.hold(END_TXN)
        self.until(life, lambda: self.proxy.held is not None, "ends no transaction that could be held")

    def pause(self, life: subprocess.Popen) -> None:
        """Stops the process with SIGSTOP."""
        life.send_signal(signal.SIGSTOP)
        self.wait(lambda: stopped(life.pid), "the program does not stop")

    def settled(self) -> bool:
        """True when no transaction is open on the results: readers of committed records see all there is."""
        ends = []
        for isolation in ("read_committed", "read_uncommitted"):
            reader = Consumer(
                {"bootstrap.servers": self.broker.address, "group.id": "looks", "isolation.level": isolation}
            )
            partitions = [TopicPartition(self.topic, number) for number in range(PARTITIONS)]
            ends.append([reader.get_watermark_offsets(one, SECONDS_MAX)[1] for one in partitions])
            reader.close()
        return ends[0] == ends[1]

    def wait(self, condition, what: str) -> None:
        """Waits for something outside of the program."""
        deadline = time.monotonic() + SECONDS_MAX
        while not condition():
            if time.monotonic() > deadline:
                raise Failed(f"{what}\n{self.program.told()}")
            time.sleep(POLL_SECONDS)

    def ends(self, life: subprocess.Popen, code: int) -> None:
        """Waits for the end of the program, which must have this code."""
        try:
            ended = life.wait(SECONDS_MAX)
        except subprocess.TimeoutExpired:
            life.kill()
            ended = life.wait()
        if ended != code:
            raise Failed(f"the program ended with code {ended}, not {code}\n{self.program.told()}")

    def said(self, word: str) -> None:
        """The last life has said it: the fault came to the sink."""
        if word not in self.program.errors.read_text(encoding="utf-8", errors="replace"):
            raise Failed(f"the program did not say '{word}'\n{self.program.told()}")

    def finish(self, what: str) -> str:
        """Runs over the rest and compares: the oracle's rows are there, each once."""
        self.program.finish(SECONDS_MAX)
        wrong = compare(self.pipeline.oracle.rows(), self.pipeline.results("loop"))
        wrong += compare(self.pipeline.oracle.bad, self.pipeline.letters("loop"))
        if wrong:
            raise Failed("\n".join(wrong))
        return f"{what}; {self.pipeline.oracle.rows().total()} rows, all there once"
