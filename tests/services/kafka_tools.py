"""Kafka's own console tools, which are Java and share no code with us: they read and write topics."""

import subprocess
from pathlib import Path

import maven
from harness import Failed

POM = Path(__file__).with_suffix(".pom.xml")
JVM = ["-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto"]
QUIET = "-Dorg.slf4j.simpleLogger.defaultLogLevel=error"
SECONDS_MAX = 60
# the console consumer ends when nothing has come for this long
SILENCE_MS = 4000


class Tools:
    """The tools, for one broker."""

    def __init__(self, brokers: str, folder: Path) -> None:
        self.brokers = brokers
        self.java = ["java", *JVM, QUIET, "-cp", f"{maven.jars(POM, 'kafka-tools', folder)}/*"]

    def consume(
        self, topic: str, *properties: str, records: int | None = None, isolation: str = "read_committed"
    ) -> list[str]:
        """The lines that kafka-console-consumer prints of a topic; `records`: it need not wait in vain for more."""
        command = ["--bootstrap-server", self.brokers, "--topic", topic, "--from-beginning"]
        command += ["--isolation-level", isolation, "--timeout-ms", str(SILENCE_MS)]
        for one in properties:
            command += ["--formatter-property", one]
        if records is not None:
            command += ["--max-messages", str(records)]
        return self.run("org.apache.kafka.tools.consumer.ConsoleConsumer", *command).splitlines()

    def produce(self, topic: str, lines: list[str]) -> None:
        """Writes `key:value` lines with kafka-console-producer: Java's own partitioner chooses."""
        command = ["--bootstrap-server", self.brokers, "--topic", topic]
        command += ["--reader-property", "parse.key=true", "--reader-property", "key.separator=:"]
        self.run("org.apache.kafka.tools.ConsoleProducer", *command, told="".join(f"{line}\n" for line in lines))

    def run(self, tool: str, *arguments: str, told: str = "") -> str:
        """What a tool prints."""
        command = [*self.java, tool, *arguments]
        done = subprocess.run(command, input=told, capture_output=True, text=True, check=False, timeout=SECONDS_MAX)
        if done.returncode != 0:
            raise Failed(f"{tool} ended with code {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        return done.stdout
