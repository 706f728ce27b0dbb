"""Amazon Kinesis as kinesalite, from npm: an emulation that splits and merges shards as Kinesis does, with sequence numbers
of 56 digits and iterators that expire. It keeps streams on disk, and neither throttles nor checks credentials. Gives
KINESALITE_ENDPOINT and KINESALITE_MODULES, the folder of npm's packages: the aggregator of the Kinesis Producer Library's
format is there, too.

moto (kinds/kinesis.py) moves the records of a shard that is split into its children, which no reader can follow.
"""

from pathlib import Path

import npm
from harness import Running, free_port, spawn, wait_for_port

PACKAGES = {"kinesalite": "3.3.3", "aws-kinesis-agg": "4.2.8"}
SHARDS_MAX = 500


class Server:
    """A server on data in a folder, which can be stopped and started again, also with another clock."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.modules = npm.modules("kinesalite", PACKAGES, folder)
        self.start()

    def start(self, *prefix: str) -> None:
        """Starts it, behind a command such as `faketime`, and waits until it answers."""
        program = self.modules / "kinesalite" / "cli.js"
        command = [*prefix, "node", str(program), "--port", str(self.port), "--path", str(self.folder / "data")]
        command += ["--createStreamMs", "0", "--deleteStreamMs", "0", "--updateStreamMs", "20"]
        log = self.folder / "kinesalite.log"
        self.process = spawn([*command, "--shardLimit", str(SHARDS_MAX)], log)
        wait_for_port(self.port, self.process, log, seconds=60)

    @property
    def endpoint(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"


def start(folder: Path) -> Running:
    """Starts it and waits until it answers."""
    server = Server(folder)
    env = {"KINESALITE_ENDPOINT": server.endpoint, "KINESALITE_MODULES": str(server.modules)}
    return Running([server.process], env)
