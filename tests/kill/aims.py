"""When to kill: each aim waits for its moment in a life of the program. A commit takes a few
milliseconds of an epoch, so moments that are only random would hardly ever hit it.

Must not know the pipeline: it hears of directories by name.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass

from life import Ended, Life

MOMENT_SECONDS_MAX = 10.0


@dataclass
class Pace:
    """How long things take here, in seconds: from the start to the first report, and an epoch."""

    startup: float
    epoch: float


@dataclass(frozen=True)
class Aim:
    """A moment to kill at. `reach` waits for it and tells whether it came."""

    name: str
    weight: int
    reach: Callable[[Life, random.Random, Pace], bool]


def during_start(life: Life, dice: random.Random, pace: Pace) -> bool:
    """Anywhere between the start of the process and its first epoch: opening, recovery."""
    life.rest(dice.uniform(0, pace.startup))
    return True


def after_recovery(life: Life, dice: random.Random, pace: Pace) -> bool:
    """Right after a start has opened its journal."""
    reached = life.until(lambda: life.seen["journal new"] > 0, MOMENT_SECONDS_MAX)
    life.rest(dice.uniform(0, pace.epoch))
    return reached


def any_time(life: Life, dice: random.Random, pace: Pace) -> bool:
    """Anywhere in an epoch."""
    wanted = dice.randint(1, 3)
    reached = life.until(lambda: len(life.reports) >= wanted, MOMENT_SECONDS_MAX)
    life.rest(dice.uniform(0, 2 * pace.epoch))
    return reached


def draining(life: Life, dice: random.Random, pace: Pace) -> bool:
    """Between SIGTERM and the end it brings."""
    reached = life.until(lambda: len(life.reports) >= 1, MOMENT_SECONDS_MAX)
    life.rest(dice.uniform(0, pace.epoch))
    life.terminate()
    try:
        life.rest(dice.uniform(0, pace.epoch / 4))
    except Ended as ended:
        if ended.code != 0:
            raise
        return False
    return reached


def at(what: str, most: int = 3) -> Callable[[Life, random.Random, Pace], bool]:
    """Within two milliseconds after something was seen once or a few times more."""

    def reach(life: Life, dice: random.Random, _pace: Pace) -> bool:
        wanted = life.seen[what] + dice.randint(1, most)
        reached = life.until(lambda: life.seen[what] >= wanted, MOMENT_SECONDS_MAX)
        life.rest(dice.choice((0.0, 0.0, dice.uniform(0, 0.002))))
        return reached

    return reach


GENERAL = (
    Aim("while it starts", 20, during_start),
    Aim("right after recovery", 10, after_recovery),
    Aim("at any time of an epoch", 25, any_time),
    Aim("while it drains", 5, draining),
    Aim("after the plan was logged", 15, at("journal grew")),
    Aim("while a snapshot is made", 5, at("snapshots new", most=1)),
)
