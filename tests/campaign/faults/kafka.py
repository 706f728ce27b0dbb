"""Kafka as source and sink while brokers die, answers are lost, and processes stand still.

{"kafka": "broker-killed"}       the only broker, and with it every coordinator and leader, is killed and started again
{"kafka": "answer-lost"}         a transaction is committed, the program never hears of it
{"kafka": "answer-late"}         the end of a transaction does not arrive within the program's patience
{"kafka": "request-delayed"}     it arrives when the producer that sent it has been replaced, and must be refused
{"kafka": "paused"}              the process stands still in a transaction for longer than that may take
{"kafka": "zombie"}              it stands still, another one takes over, it goes on (`"at"`: the step, or `commit`)

`sink` in the scenario's file are options of the sink.
"""

import shutil
import signal
import time

from cycle import Program, stopped
from kafka_proxy import END_TXN, INIT_PRODUCER_ID
from kafka_scene import Cluster, KafkaScene
from kinds.kafka import SESSION_SECONDS
from life import Failed
from scene import SECONDS_MAX, Scene

KINDS = ("kafka",)
TIMES = 2
# the controller looks for dead brokers this often, with something to spare
NOTICED_SECONDS = 2
FENCED = 76
AGAIN = "trying again with a new producer"


def run(scene: Scene, _kind: str, what: str) -> str:
    """The scenario, on the broker that all of them share."""
    cluster = scene.services.shared(Cluster)
    # a topic that a broken scenario has left must not be taken for ours
    name = f"{what}-{time.monotonic_ns()}"
    folder = scene.folder / "kafka"
    folder.mkdir()
    kafka = KafkaScene(cluster, name, scene.program_path, folder, scene.wanted.get("sink", {}))
    return SCENARIOS[what](kafka, scene)


def broker_killed(kafka: KafkaScene, _scene: Scene) -> str:
    """Source and sink lose their broker in the middle of their work, and the query goes on."""
    life = kafka.begin()
    for _ in range(TIMES):
        kafka.broker.kill()
        # A broker of partitions without a second copy that is back before its controller has noticed (Kafka 4.4) leaves
        # out the end of a transaction that it has acknowledged: docs/operations.md, "A hanging transaction".
        time.sleep(SESSION_SECONDS + NOTICED_SECONDS)
        kafka.broker.start()
        kafka.goes_on(life)
    life.send_signal(signal.SIGTERM)
    kafka.ends(life, 0)
    return kafka.finish(f"{TIMES} restarts of the broker in one life")


def answer_lost(kafka: KafkaScene, _scene: Scene) -> str:
    """The broker has committed; the program must find that out, and not write again."""
    life = kafka.begin()
    for _ in range(TIMES):
        lost = kafka.proxy.dropped
        kafka.proxy.lose_answer(END_TXN)
        kafka.until(life, lambda lost=lost: kafka.proxy.dropped > lost, "ends no transaction")
        kafka.goes_on(life)
    life.send_signal(signal.SIGTERM)
    kafka.ends(life, 0)
    return kafka.finish(f"{TIMES} answers to a commit lost")


def answer_late(kafka: KafkaScene, _scene: Scene) -> str:
    """The program gives the transaction up and the producer with it; the next one aborts it."""
    life = kafka.begin()
    made = kafka.proxy.counts[INIT_PRODUCER_ID]
    kafka.hold_commit(life)
    kafka.until(life, lambda: kafka.proxy.counts[INIT_PRODUCER_ID] > made, "makes no new producer")
    kafka.goes_on(life)
    kafka.said(AGAIN)
    life.send_signal(signal.SIGTERM)
    kafka.ends(life, 0)
    return kafka.finish("the end of a transaction never arrived")


def request_delayed(kafka: KafkaScene, _scene: Scene) -> str:
    """A request to commit reaches the broker while a transaction of the next producer is open."""
    life = kafka.begin()
    made = kafka.proxy.counts[INIT_PRODUCER_ID]
    kafka.hold_commit(life)
    old = kafka.proxy.held
    kafka.until(life, lambda: kafka.proxy.counts[INIT_PRODUCER_ID] > made, "makes no new producer")
    # the new producer's first transaction is complete but for its end
    kafka.hold_commit(life)
    kafka.proxy.held, new = old, kafka.proxy.held
    refused(kafka)
    kafka.proxy.held = new
    if kafka.proxy.send_held():
        raise Failed("the broker refuses the end of the transaction that is open")
    kafka.proxy.reset()
    kafka.goes_on(life)
    life.send_signal(signal.SIGTERM)
    kafka.ends(life, 0)
    return kafka.finish("a commit of the old producer came in the new one's transaction and was refused")


def paused(kafka: KafkaScene, _scene: Scene) -> str:
    """The broker aborts what stands still; the process goes on and writes the epoch again."""
    life = kafka.begin()
    kafka.hold_commit(life)
    if kafka.settled():
        raise Failed("no transaction was open when the process was stopped")
    kafka.pause(life)
    kafka.wait(kafka.settled, "the broker does not abort the transaction")
    refused(kafka)
    kafka.proxy.reset()
    life.send_signal(signal.SIGCONT)
    kafka.goes_on(life)
    kafka.said("a transaction took too long")
    life.send_signal(signal.SIGTERM)
    kafka.ends(life, 0)
    return kafka.finish("stopped in a transaction until it was aborted")


def zombie(kafka: KafkaScene, scene: Scene) -> str:
    """A second process takes over from a copy of the checkpoint; the first must leave with 76 and write nothing."""
    at = scene.wanted["at"]
    if at == "commit":
        life = kafka.begin()
        kafka.hold_commit(life)
        kafka.pause(life)
    else:
        # the first epochs write no rows, so nothing that could be fenced
        life = kafka.program.start("--trigger", "processing-time 2ms", "--fault", f"{at}:45:stop")
        kafka.until(life, lambda: stopped(life.pid), "does not stop")
    folder = kafka.pipeline.checkpoint
    heirs = folder.with_name("heir.ckpt")
    shutil.copytree(folder, heirs)
    for _ in range(3):
        kafka.pipeline.feed()
    first, kafka.program = kafka.program, copy_of(kafka.program, heirs.name)
    kafka.program.finish(SECONDS_MAX)
    if at == "commit":
        refused(kafka)
        kafka.proxy.reset()
    life.send_signal(signal.SIGCONT)
    heir, kafka.program = kafka.program, first
    kafka.ends(life, FENCED)
    kafka.said("another process writes")
    # what counts now is the heir's
    kafka.program = heir
    shutil.rmtree(folder)
    for _ in range(3):
        kafka.pipeline.feed()
    kafka.program.finish(SECONDS_MAX)
    heirs.rename(folder)
    kafka.program = first
    return kafka.finish(f"the first process ended with {FENCED}")


def copy_of(program: Program, checkpoint: str) -> Program:
    """The same program on another checkpoint, with a log of its own."""
    other = object.__new__(Program)
    other.__dict__.update(program.__dict__)
    other.command = [checkpoint if part == "loop.ckpt" else part for part in program.command]
    other.errors = program.folder / "heir.log"
    return other


def refused(kafka: KafkaScene) -> None:
    """The request that was held comes too late, and the broker says so."""
    if not kafka.proxy.send_held():
        raise Failed("the broker has carried out a commit of a producer that was replaced or too late")


SCENARIOS = {
    "broker-killed": broker_killed,
    "answer-lost": answer_lost,
    "answer-late": answer_late,
    "request-delayed": request_delayed,
    "paused": paused,
    "zombie": zombie,
}
