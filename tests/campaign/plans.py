"""What is done to the program in one cycle, drawn from a seed: at which step, which hit, and how.

Must not know how the program is started, nor what it reads and writes.
"""

import random
from collections import Counter
from dataclasses import dataclass

# core/src/faults.rs has the same words, in the order of an epoch: M01 to M12 of the fault matrix
STEPS = (
    "planned",
    "plan-torn",
    "plan-logged",
    "executing",
    "state-put",
    "sink-staging",
    "sink-committed",
    "commit-torn",
    "snapshot-torn",
    "snapshot-taken",
    "forgetting",
    "recovering",
)
HITS_MAX = 3
# how much later than a sink's first move it is killed, in microseconds: files and Delta take a few thousand
STAGING_MICROS = (0, 100, 300, 700, 1500, 3000)
MIX = {"step": 50, "random": 25, "term": 10, "recovery": 10, "zombie": 5}
# of the cycles of a sink that has a server, those in which the server is killed too
SERVER_KILLED = 0.1


@dataclass(frozen=True)
class Plan:
    """One cycle: a kind of MIX and, for those that aim, the step, the hit and how much later."""

    kind: str
    step: str = ""
    hit: int = 0
    later: int = 0
    times: int = 1

    @property
    def snapshots(self) -> bool:
        """True for a step that comes only with a snapshot."""
        return self.step in ("snapshot-torn", "snapshot-taken", "forgetting")

    def fault(self, query: str) -> str:
        """The option of the program that makes it so."""
        action = "stop" if self.kind == "zombie" else "kill"
        later = f"+{self.later}" if self.later else ""
        return f"{query}/{self.step}:{self.hit}{later}:{action}"


def draw(dice: random.Random, hits: Counter[str], has_server: bool = False) -> Plan:
    """A plan; of the steps, those with the fewest hits so far come first."""
    if has_server and dice.random() < SERVER_KILLED:
        return Plan("server")
    kind = dice.choices(list(MIX), list(MIX.values()))[0]
    if kind in ("random", "term"):
        return Plan(kind)
    if kind == "recovery":
        return Plan(kind, "recovering", dice.randint(1, 3), times=dice.randint(1, 5))
    if kind == "zombie":
        return Plan(kind, dice.choice(("plan-logged", "executing", "state-put", "sink-committed")), 1)
    fewest = min(hits[step] for step in STEPS)
    step = dice.choice([step for step in STEPS if hits[step] == fewest])
    later = dice.choice(STAGING_MICROS) if step == "sink-staging" else 0
    return Plan(kind, step, dice.randint(1, HITS_MAX), later)
