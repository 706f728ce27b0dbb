"""Apache Kafka as one KRaft node, from its own jars. Gives KAFKA_BOOTSTRAP.

Needs `java` (17 or newer) and, the first time, `mvn`, which resolves the jars named in
kafka.pom.xml; they are kept in the cache folder, so that later starts take seconds.
A test that kills its broker, or reaches it through a proxy, calls `broker` itself.
"""

import base64
import uuid
from pathlib import Path

import maven
from harness import Running, free_port, run_to_end, spawn, wait_for_port

POM = Path(__file__).with_suffix(".pom.xml")
JVM = ["-Xms64m", "-Xmx320m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto"]
QUIET = ["-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-Dorg.slf4j.simpleLogger.showDateTime=true"]
START_SECONDS = 90
# a broker that is dead is noticed after this time
SESSION_SECONDS = 3
CONTROLLERS = [
    "controller.listener.names=CONTROLLER",
    f"broker.session.timeout.ms={SESSION_SECONDS * 1000}",
    "broker.heartbeat.interval.ms=500",
]
PROTOCOLS = {"PLAINTEXT": "PLAINTEXT", "PROXIED": "PLAINTEXT", "CONTROLLER": "PLAINTEXT"}
# few internal partitions, no waiting
FOR_TESTS = [
    "num.partitions=2",
    "offsets.topic.num.partitions=4",
    "transaction.state.log.min.isr=1",
    "transaction.state.log.num.partitions=4",
    "share.coordinator.state.topic.min.isr=1",
    "share.coordinator.state.topic.num.partitions=1",
    "group.initial.rebalance.delay.ms=0",
    "transaction.abort.timed.out.transaction.cleanup.interval.ms=500",
    "log.retention.check.interval.ms=1000",
    "log.cleaner.dedupe.buffer.size=8388608",
    "log.index.size.max.bytes=1048576",
    "num.network.threads=2",
    "num.io.threads=4",
]


class Node:
    """A process of a cluster, on loopback ports, which can be killed and started again with its data."""

    def __init__(self, folder: Path, port: int, cluster: str, settings: list[str], java: tuple[str, ...] = ()) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.log = folder / "kafka.log"
        self.java = ["java", *JVM, *QUIET, *java, "-cp", f"{maven.jars(POM, 'kafka', folder)}/*"]
        self.port = port
        self.settings = folder / "server.properties"
        self.settings.write_text("\n".join([*settings, f"log.dirs={folder / 'data'}", ""]), encoding="utf-8")
        made = ["kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(self.settings)]
        run_to_end([*self.java, *made], folder / "format.log", seconds=60)
        self.start()

    @property
    def address(self) -> str:
        """Where it is, for clients."""
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Starts it; returns once it answers."""
        self.process = spawn([*self.java, "kafka.Kafka", str(self.settings)], self.log)
        wait_for_port(self.port, self.process, self.log, START_SECONDS)

    def kill(self) -> None:
        """Ends it at once, as a crash does."""
        self.process.kill()
        self.process.wait()


def cluster_id() -> str:
    """A new one."""
    return base64.urlsafe_b64encode(b"\x01" + uuid.uuid4().bytes[1:]).decode().rstrip("=")


def controller(folder: Path, cluster: str) -> Node:
    """A node that only keeps the cluster's metadata."""
    port = free_port()
    settings = ["process.roles=controller", "node.id=100", f"controller.quorum.voters=100@127.0.0.1:{port}"]
    settings += [f"listeners=CONTROLLER://127.0.0.1:{port}", protocols({})]
    return Node(folder, port, cluster, [*settings, *CONTROLLERS])


def broker(
    folder: Path,
    proxied: tuple[int, int] | None = None,
    keeper: Node | None = None,
    cluster: str = "",
    number: int = 1,
    copies: int = 1,
    listeners: dict[str, tuple[str, int]] | None = None,
    more: tuple[str, ...] = (),
    java: tuple[str, ...] = (),
) -> Node:
    """A broker. `proxied`: a second port it listens on, and the one that clients which come there are told to use;
    `keeper`: the controller of its `cluster`, without which it is its own; `copies` of what brokers keep for
    themselves; more `listeners`, by name, of a protocol on a port; more settings, and options of Java."""
    port, own = free_port(), free_port()
    listens = advertised = f"PLAINTEXT://127.0.0.1:{port}"
    if proxied:
        listens += f",PROXIED://127.0.0.1:{proxied[0]}"
        advertised += f",PROXIED://127.0.0.1:{proxied[1]}"
    listeners = listeners or {}
    for name, (_, other) in listeners.items():
        listens += f",{name}://127.0.0.1:{other}"
        advertised += f",{name}://127.0.0.1:{other}"
    if keeper:
        settings = ["process.roles=broker", f"controller.quorum.voters=100@{keeper.address}"]
    else:
        settings = ["process.roles=broker,controller", f"controller.quorum.voters=1@127.0.0.1:{own}"]
        listens += f",CONTROLLER://127.0.0.1:{own}"
    settings += [f"node.id={number}", f"listeners={listens}", f"advertised.listeners={advertised}"]
    settings += [protocols({name: protocol for name, (protocol, _) in listeners.items()}), *more]
    settings += [*CONTROLLERS, *FOR_TESTS, *kept_by_brokers(copies)]
    return Node(folder, port, cluster or cluster_id(), settings, java)


def protocols(more: dict[str, str]) -> str:
    """What each listener speaks."""
    every = ",".join(f"{name}:{protocol}" for name, protocol in (PROTOCOLS | more).items())
    return f"listener.security.protocol.map={every}"


def kept_by_brokers(copies: int) -> list[str]:
    """How many replicas the topics of brokers have; one of them is enough to write."""
    topics = ("offsets.topic", "transaction.state.log", "share.coordinator.state.topic")
    return [f"{topic}.replication.factor={copies}" for topic in topics]


def start(folder: Path) -> Running:
    """One node."""
    node = broker(folder)
    return Running([node.process], {"KAFKA_BOOTSTRAP": node.address})
