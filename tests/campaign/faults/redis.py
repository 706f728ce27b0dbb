"""A Redis that fails while the pipeline writes to it; what redis-cli reads must come to be the oracle's rows, each once.

{"redis": "killed"}         it dies at once, and comes back with the log of all it had acknowledged
{"redis": "tail-lost"}      it dies, and comes back as it was when it last saved itself
{"redis": "replica"}        it becomes a replica, which refuses writes (READONLY), and a master again
{"redis": "out-of-memory"}  it is full and refuses writes (OOM, noeviction) for a while
"""

import contextlib
import subprocess
import time

from cycle import Program
from files_redis import FilesRedis, Node
from harness import free_port, stop
from life import Failed
from scene import SECONDS_MAX, Scene, drained
from validator import compare

KINDS = ("redis",)
TIMES = 4
LOGGED = ("--appendonly", "yes", "--appendfsync", "always", "--save", "")
SAVED_ON_DEMAND = ("--appendonly", "no", "--save", "")


def run(scene: Scene, _kind: str, what: str) -> str:
    """Lives in which the fault comes several times, and an undisturbed one after them."""
    folder = scene.folder / "redis"
    folder.mkdir()
    with contextlib.ExitStack() as cleanup:
        node = Node(folder / "server", *(SAVED_ON_DEMAND if what == "tail-lost" else LOGGED))
        cleanup.callback(lambda: stop(node.process))
        pipeline = FilesRedis(folder, 7, node)
        pipeline.kill_server = lambda: None
        program = Program(scene.program.command[0], folder, scene.wanted.get("settings", []), pipeline.feed)
        life = program.start("--trigger", "processing-time 2ms")
        starts = 1
        try:
            for _ in range(TIMES):
                while not grown(pipeline, life):
                    life = again(program, life, scene.wanted["codes"])
                    starts += 1
                FAULTS[what](pipeline, node)
        except Failed as failed:
            raise Failed(f"{failed}\n{program.told()}") from None
        finally:
            code = drained(life)
        if code and code not in scene.wanted["codes"]:
            raise Failed(f"the program ended with code {code}\n{program.told()}")
        program.finish(SECONDS_MAX)
        wrong = compare(pipeline.oracle.rows(), pipeline.results("loop"))
        wrong += compare(pipeline.oracle.bad, pipeline.letters("loop"))
        if wrong:
            raise Failed("\n".join(wrong))
        pipeline.inspect()
        return f"{TIMES} times, {starts} lives; {pipeline.results('loop').total()} entries, each once"


def until(holds, why: str) -> None:
    """Waits for something that must come."""
    deadline = time.monotonic() + SECONDS_MAX
    while not holds():
        if time.monotonic() > deadline:
            raise Failed(why)
        time.sleep(0.005)


def length(node: Node) -> int:
    """Entries of the stream."""
    told = node.cli("XLEN", "loop")
    return int(told) if told.isdigit() else 0


def grown(pipeline: FilesRedis, life: subprocess.Popen) -> bool:
    """More input, until entries that were not there before are; false when the program has stopped at a fault."""
    before = length(pipeline.server)
    for _ in range(3):
        pipeline.feed()
    until(lambda: life.poll() is not None or length(pipeline.server) > before, "the stream does not grow any more")
    return life.poll() is None


def again(program: Program, life: subprocess.Popen, codes: list[int]) -> subprocess.Popen:
    """A new life after one that ended with a code the scenario allows."""
    if life.returncode not in codes:
        raise Failed(f"the program ended with code {life.returncode}, not one of {codes}")
    return program.start("--trigger", "processing-time 2ms")


def killed(_pipeline: FilesRedis, node: Node) -> None:
    """It dies at once."""
    node.kill()
    node.start()


def tail_lost(pipeline: FilesRedis, node: Node) -> None:
    """It loses what came after it saved itself: fewer epochs than the checkpoint keeps plans of."""
    if "OK" not in node.cli("SAVE"):
        raise Failed("the server does not save itself")
    saved = length(node)
    pipeline.feed()
    until(lambda: length(node) > saved, "nothing came after the server was saved")
    node.kill()
    node.start()


def refusals(node: Node, word: str) -> int:
    """How often the server has refused a command with this word."""
    told = node.cli("INFO", "errorstats")
    counts = [line.partition("count=")[2] for line in told.splitlines() if line.startswith(f"errorstat_{word}:")]
    return int(counts[0]) if counts else 0


def replica(pipeline: FilesRedis, node: Node) -> None:
    """A replica of a server that is not there."""
    known = refusals(node, "READONLY")
    node.cli("REPLICAOF", "127.0.0.1", str(free_port()))
    pipeline.feed()
    until(lambda: refusals(node, "READONLY") > known, "no write was ever refused with READONLY")
    node.cli("REPLICAOF", "NO", "ONE")


def out_of_memory(pipeline: FilesRedis, node: Node) -> None:
    """Full, until it is given memory again."""
    known = refusals(node, "OOM")
    node.cli("CONFIG", "SET", "maxmemory-policy", "noeviction")
    node.cli("CONFIG", "SET", "maxmemory", "1mb")
    pipeline.feed()
    until(lambda: refusals(node, "OOM") > known, "no write was ever refused with OOM")
    node.cli("CONFIG", "SET", "maxmemory", "0")


FAULTS = {"killed": killed, "tail-lost": tail_lost, "replica": replica, "out-of-memory": out_of_memory}
