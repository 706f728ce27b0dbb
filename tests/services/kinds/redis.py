"""Redis from Debian's package. Gives REDIS_URL: one node that writes each command to its log.

Tests that need more than one node call `node`, `cluster` and `sentinel` themselves.
"""

import subprocess
import time
from pathlib import Path

from harness import POLL_SECONDS, Failed, Running, free_port, run_to_end, spawn, wait_for_port

START_SECONDS = 20.0
# a node of a cluster listens 10000 ports higher too
PORT_MAX = 55_535


class Node:
    """A Redis server on a loopback port, which can be killed and started again with its data."""

    def __init__(self, folder: Path, *settings: str, sentinel: bool = False) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.port = next(port for port in iter(free_port, None) if port <= PORT_MAX)
        self.settings = settings
        self.sentinel = sentinel
        self.start()

    def start(self) -> None:
        """Starts it; returns once it answers."""
        log = self.folder / "redis.log"
        fixed = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder)]
        if self.sentinel:
            command = ["redis-server", str(self.folder / "sentinel.conf"), "--sentinel", *fixed]
        else:
            command = ["redis-server", *fixed, *self.settings]
        self.process = spawn(command, log)
        wait_for_port(self.port, self.process, log, START_SECONDS)
        # it listens while it loads; one with a password tells us no more than that it is there
        self.until("PING", lambda told: told == "PONG" or "NOAUTH" in told)

    def kill(self) -> None:
        """Ends it at once, as a crash does."""
        self.process.kill()
        self.process.wait()

    def cli(self, *command: str) -> str:
        """What `redis-cli` prints for a command."""
        done = subprocess.run(
            ["redis-cli", "-c", "-p", str(self.port), *command], capture_output=True, text=True, check=False, timeout=30
        )
        return (done.stdout + done.stderr).strip()

    def until(self, command: str, holds) -> str:
        """Repeats a command until `holds` its answer."""
        deadline = time.monotonic() + START_SECONDS
        while not holds(told := self.cli(*command.split())):
            if time.monotonic() > deadline:
                raise Failed(f"redis on port {self.port} never got there: {command} says {told}")
            time.sleep(POLL_SECONDS)
        return told


def start(folder: Path) -> Running:
    """One node whose log is synced with each command."""
    node = Node(folder, "--appendonly", "yes", "--appendfsync", "always", "--save", "")
    return Running([node.process], {"REDIS_URL": f"redis://127.0.0.1:{node.port}"})


def cluster(folder: Path, masters: int = 3) -> list[Node]:
    """A cluster of masters without replicas."""
    settings = ("--cluster-enabled", "yes", "--appendonly", "yes", "--save", "", "--cluster-node-timeout", "2000")
    nodes = [Node(folder / str(number), *settings) for number in range(masters)]
    addresses = [f"127.0.0.1:{node.port}" for node in nodes]
    run_to_end(["redis-cli", "--cluster", "create", *addresses, "--cluster-yes"], folder / "create.log", START_SECONDS)
    for node in nodes:
        node.until("CLUSTER INFO", lambda told: "cluster_state:ok" in told and "cluster_slots_ok:16384" in told)
    return nodes


def sentinel(folder: Path, master: Node, name: str, password: str) -> Node:
    """A sentinel that, alone, makes a replica the master when `master` has been away for a second."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [
        f"sentinel monitor {name} 127.0.0.1 {master.port} 1",
        f"sentinel auth-pass {name} {password}",
        f"sentinel down-after-milliseconds {name} 1000",
        f"sentinel failover-timeout {name} 10000",
    ]
    (folder / "sentinel.conf").write_text("\n".join(lines) + "\n", encoding="ascii")
    return Node(folder, sentinel=True)
