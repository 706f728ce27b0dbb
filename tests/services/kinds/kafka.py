"""Apache Kafka as one KRaft node, from its own jars. Gives KAFKA_BOOTSTRAP.

Needs `java` (17 or newer) and, the first time, `mvn`, which resolves the jars named in
kafka.pom.xml; they are kept in the cache folder, so that later starts take seconds.
"""

import base64
import hashlib
import os
import shutil
import uuid
from pathlib import Path

from harness import Running, cache_folder, free_port, run_to_end, spawn, wait_for_port

POM = Path(__file__).with_suffix(".pom.xml")
COPY_JARS = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
JVM = ["-Xms64m", "-Xmx320m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto"]
QUIET = ["-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-Dorg.slf4j.simpleLogger.showDateTime=true"]


def start(folder: Path) -> Running:
    """Formats a new node in `folder` and waits until it answers."""
    java = ["java", *JVM, *QUIET, "-cp", f"{jars(folder)}/*"]
    broker, controller = free_port(), free_port()
    settings = folder / "server.properties"
    settings.write_text(properties(folder / "data", broker, controller), encoding="utf-8")
    cluster = base64.urlsafe_b64encode(b"\x01" + uuid.uuid4().bytes[1:]).decode().rstrip("=")
    run_to_end(
        [*java, "kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(settings)],
        folder / "format.log",
        seconds=60,
    )
    log = folder / "kafka.log"
    process = spawn([*java, "kafka.Kafka", str(settings)], log)
    wait_for_port(broker, process, log, seconds=90)
    return Running([process], {"KAFKA_BOOTSTRAP": f"127.0.0.1:{broker}"})


def jars(folder: Path) -> Path:
    """The folder of the broker's jars, resolved once for each content of the pom."""
    kept = cache_folder("kafka") / hashlib.sha256(POM.read_bytes()).hexdigest()[:12]
    if not kept.is_dir():
        fresh = kept.with_name(f"{kept.name}.{os.getpid()}")
        run_to_end(
            ["mvn", "-B", "-q", "-f", str(POM), COPY_JARS, f"-DoutputDirectory={fresh}"],
            folder / "maven.log",
            seconds=300,
        )
        try:
            fresh.rename(kept)
        except OSError:  # another start was faster
            shutil.rmtree(fresh)
    return kept


def properties(data: Path, broker: int, controller: int) -> str:
    """A node that serves tests: one replica of everything, few internal partitions, no waiting."""
    return "\n".join(
        [
            "process.roles=broker,controller",
            "node.id=1",
            f"controller.quorum.voters=1@127.0.0.1:{controller}",
            f"listeners=PLAINTEXT://127.0.0.1:{broker},CONTROLLER://127.0.0.1:{controller}",
            f"advertised.listeners=PLAINTEXT://127.0.0.1:{broker}",
            "controller.listener.names=CONTROLLER",
            f"log.dirs={data}",
            "num.partitions=2",
            "default.replication.factor=1",
            "offsets.topic.replication.factor=1",
            "offsets.topic.num.partitions=4",
            "transaction.state.log.replication.factor=1",
            "transaction.state.log.min.isr=1",
            "transaction.state.log.num.partitions=4",
            "share.coordinator.state.topic.replication.factor=1",
            "share.coordinator.state.topic.min.isr=1",
            "share.coordinator.state.topic.num.partitions=1",
            "group.initial.rebalance.delay.ms=0",
            "transaction.abort.timed.out.transaction.cleanup.interval.ms=500",
            "log.retention.check.interval.ms=1000",
            "log.cleaner.dedupe.buffer.size=8388608",
            "log.index.size.max.bytes=1048576",
            "num.network.threads=2",
            "num.io.threads=4",
            "",
        ]
    )
