"""The events that go in and, computed apart from the engine, the rows that must come out.

Everything follows from a seed and a number: portion n of a seed is always the same lines. Whether an
event is late never depends on how the events fall into epochs, which kills change: an event is either
on time under the highest watermark there can be, or late under the lowest; the oracle checks that.

Must not know the program, its files or its processes.
"""

import json
import random
from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

START = datetime(2024, 1, 1, 12, tzinfo=UTC)
WINDOW = timedelta(minutes=5)
SLIDE = timedelta(minutes=1)
PORTION = timedelta(minutes=1)
LINES = 25
USERS = 8
# a late event comes when the watermark has certainly seen the portions before the last this many
SLACK = 30
COLUMNS = ("opened", "closed", "user", "events", "sessions", "total", "largest", "mean")


@dataclass(frozen=True)
class Event:
    """An event as it was made; times in milliseconds since 1970."""

    user: str | None
    session: str
    amount: int
    time: int


@dataclass(frozen=True)
class Portion:
    """Some lines of input: the events that can be read, and the lines that cannot."""

    number: int
    lines: list[bytes]
    events: list[Event]
    bad: list[bytes]


def portion(seed: int, number: int) -> Portion:
    """The lines of one portion, 25 of them: most on time, some out of order, a few late or malformed."""
    dice = random.Random(f"{seed}/{number}")
    lines: list[bytes] = []
    events: list[Event] = []
    bad: list[bytes] = []
    for at in range(LINES):
        event = make(dice, number)
        line = encoded(event, number * LINES + at)
        chance = dice.random()
        if chance < 0.02:
            line = line[: len(line) // 2]
        elif chance < 0.04:
            line = line.replace(b'"amount":', b'"amount":"much more than ')[:-1] + b'"}'
        if chance < 0.04:
            bad.append(line)
        else:
            events.append(event)
        lines.append(line)
    return Portion(number, lines, events, bad)


def make(dice: random.Random, number: int) -> Event:
    """An event of this portion's minute; one in ten comes up to 90 seconds late, which is in time."""
    time = START + PORTION * number + PORTION * dice.random()
    chance = dice.random()
    if chance < 0.1:
        time -= timedelta(seconds=90) * dice.random()
    elif chance < 0.13 and number > SLACK:
        time = START - timedelta(days=1) * (1 + dice.random())
    user = None if dice.random() < 0.02 else f"user-{dice.randrange(USERS)}"
    return Event(user, f"session-{dice.randrange(5)}", dice.randrange(1, 1000), int(time.timestamp() * 1000))


def encoded(event: Event, number: int) -> bytes:
    """The event as a line of JSON."""
    time = datetime.fromtimestamp(event.time / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    record = {"id": number, "user": event.user, "session": event.session, "ts": time, "amount": event.amount}
    return json.dumps(record, separators=(",", ":")).encode()


class Oracle:
    """What a sliding window of 5 minutes by 1 minute per user gives in append mode.

    Spark's rules: the watermark is the greatest event time less the delay, in milliseconds; a window's
    row comes out once its end is not after the watermark; an event is dropped from the windows whose
    end is not after the watermark of the epoch before. `ahead` is how many later portions may have been
    read before one of a portion's events is: none where portions are read in order.
    """

    def __init__(self, delay: timedelta, ahead: int = 0) -> None:
        self.delay = milliseconds(delay)
        self.ahead = milliseconds(PORTION * ahead)
        self.newest: list[int] = []
        self.windows: dict[tuple[int, str | None], list[Event]] = defaultdict(list)
        self.late = 0
        self.bad: Counter[bytes] = Counter()

    def add(self, portion: Portion) -> None:
        """Takes in the next portion."""
        before = self.newest[-1] if self.newest else 0
        self.newest.append(max([before, *(event.time for event in portion.events)]))
        lowest = self.newest[portion.number - SLACK] - self.delay if portion.number >= SLACK else -1
        highest = self.newest[-1] + self.ahead - self.delay
        for event in portion.events:
            starts = window_starts(event.time)
            if starts[-1] + milliseconds(WINDOW) <= lowest:
                self.late += 1
            elif starts[0] + milliseconds(WINDOW) > highest:
                for start in starts:
                    self.windows[start, event.user].append(event)
            else:
                raise AssertionError(f"whether {event} of portion {portion.number} is late depends on the epochs")
        self.bad.update(portion.bad)

    def rows(self) -> Counter[tuple]:
        """The rows that are out once everything has been read."""
        watermark = (self.newest[-1] if self.newest else 0) - self.delay
        rows: Counter[tuple] = Counter()
        for (start, user), events in self.windows.items():
            closed = start + milliseconds(WINDOW)
            if closed <= watermark:
                amounts = [event.amount for event in events]
                sessions = len({event.session for event in events})
                mean = sum(amounts) / len(amounts)
                rows[start, closed, user, len(events), sessions, sum(amounts), max(amounts), mean] += 1
        return rows


def window_starts(time: int) -> list[int]:
    """Starts of the windows that hold the time, the earliest first."""
    slide = milliseconds(SLIDE)
    last = time - time % slide
    return list(range(last - milliseconds(WINDOW) + slide, last + slide, slide))


def milliseconds(span: timedelta) -> int:
    """A span in whole milliseconds."""
    return span // timedelta(milliseconds=1)
