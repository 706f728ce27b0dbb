"""Nexmark's events: persons, auctions and bids of an auction house, the same for the same seed.

    generate.py --out DIR [--events N] [--rate N] [--files N] [--seed S]

Of 50 events one is a person, three are auctions and 46 are bids, as in Nexmark; half of the bids go to a hot auction,
three of four come from a hot bidder, three of four auctions are of a hot seller, prices are spread over six powers of
ten. Some events come up to two seconds out of order, within the watermark's delay of four. Each kind is a folder of JSON
files, of the same span of time each. The last file holds one event of each kind two days on: it makes every window final.
"""

from __future__ import annotations

import argparse
import datetime
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

START = datetime.datetime(2026, 1, 1, 5, 59, 0)
END = START + datetime.timedelta(days=2)
GROUP, PERSONS, AUCTIONS = 50, 1, 3
FIRST_ID, FIRST_CATEGORY, CATEGORIES = 1000, 10, 5
ACTIVE_PERSONS, ACTIVE_AUCTIONS, HOT_EVERY = 1000, 100, 100
LONGEST_AUCTION_SECONDS = 20
LATEST_SECONDS, LATE_SHARE = 2.0, 0.05

STATES = ("AZ", "CA", "ID", "OR", "WA", "WY")
CITIES = (
    "Phoenix",
    "Los Angeles",
    "San Francisco",
    "Boise",
    "Portland",
    "Bend",
    "Redmond",
    "Seattle",
    "Kent",
    "Cheyenne",
)
FIRST_NAMES = ("Peter", "Paul", "Luke", "John", "Saul", "Vicky", "Kate", "Julie", "Sarah", "Deiter", "Walter")
LAST_NAMES = ("Shultz", "Abrams", "Spencer", "White", "Bartels", "Walton", "Smith", "Jones", "Noris")
HOT_CHANNELS = ("Google", "Facebook", "Baidu", "Apple")
CHANNELS = 10_000
LETTERS = "abcdefghijklmnopqrstuvwxyz"

Row = dict[str, Any]


class Events:
    """The events of a seed, in order of their numbers."""

    def __init__(self, seed: int, rate: int) -> None:
        self.draw, self.rate = random.Random(seed), rate

    def all(self, count: int) -> Iterator[tuple[str, Row]]:
        """So many events, each with its kind."""
        for number in range(count):
            group, position = divmod(number, GROUP)
            time = self.time(number)
            if position < PERSONS:
                yield "person", self.person(group, time)
            elif position < PERSONS + AUCTIONS:
                yield "auction", self.auction(group * AUCTIONS + position - PERSONS, group, time)
            else:
                yield "bid", self.bid(group * AUCTIONS + AUCTIONS - 1, group, time)

    def time(self, number: int) -> datetime.datetime:
        """The time of an event, now and then an earlier one."""
        late = self.draw.uniform(0, LATEST_SECONDS) if self.draw.random() < LATE_SHARE else 0.0
        time = START + datetime.timedelta(seconds=max(number / self.rate - late, 0.0))
        return time.replace(microsecond=time.microsecond // 1000 * 1000)

    def person(self, number: int, time: datetime.datetime) -> Row:
        """A person who registers."""
        draw = self.draw
        name = f"{draw.choice(FIRST_NAMES)} {draw.choice(LAST_NAMES)}"
        return {
            "id": FIRST_ID + number,
            "name": name,
            "emailAddress": f"{self.text(7)}@{self.text(5)}.com",
            "creditCard": " ".join(f"{draw.randrange(10_000):04}" for _ in range(4)),
            "city": draw.choice(CITIES),
            "state": draw.choice(STATES),
            "dateTime": written(time),
            "extra": self.text(20),
        }

    def auction(self, number: int, persons: int, time: datetime.datetime) -> Row:
        """An auction that opens."""
        draw = self.draw
        first = self.price()
        seller = self.hot(persons, 0) if draw.randrange(4) else self.recent(persons, ACTIVE_PERSONS)
        return {
            "id": FIRST_ID + number,
            "itemName": self.text(10),
            "description": self.text(40),
            "initialBid": first,
            "reserve": first + self.price(),
            "dateTime": written(time),
            "expires": written(
                time + datetime.timedelta(milliseconds=draw.randint(1000, LONGEST_AUCTION_SECONDS * 1000))
            ),
            "seller": FIRST_ID + seller,
            "category": FIRST_CATEGORY + draw.randrange(CATEGORIES),
            "extra": self.text(20),
        }

    def bid(self, auctions: int, persons: int, time: datetime.datetime) -> Row:
        """A bid."""
        draw = self.draw
        auction = self.hot(auctions, 0) if draw.randrange(2) else self.recent(auctions, ACTIVE_AUCTIONS)
        bidder = self.hot(persons, 1) if draw.randrange(4) else self.recent(persons, ACTIVE_PERSONS)
        folders = "/".join(self.text(5) for _ in range(3))
        if draw.randrange(2):
            channel, url = draw.choice(HOT_CHANNELS), f"https://www.nexmark.com/{folders}/item.htm?query=1"
        else:
            number = draw.randrange(CHANNELS)
            channel, url = (
                f"channel-{number}",
                f"https://www.nexmark.com/{folders}/item.htm?query=1&channel_id={number}",
            )
        return {
            "auction": FIRST_ID + auction,
            "bidder": FIRST_ID + bidder,
            "price": self.price(),
            "channel": channel,
            "url": url,
            "dateTime": written(time),
            "extra": self.text(20),
        }

    def hot(self, newest: int, which: int) -> int:
        """The hot one of those there are."""
        return min(newest, newest // HOT_EVERY * HOT_EVERY + which)

    def recent(self, newest: int, active: int) -> int:
        """One of the newest."""
        return self.draw.randint(max(newest - active + 1, 0), newest)

    def price(self) -> int:
        """In cents."""
        return round(10 ** (self.draw.random() * 6) * 100)

    def text(self, length: int) -> str:
        """Letters."""
        return "".join(self.draw.choices(LETTERS, k=length))


def written(time: datetime.datetime) -> str:
    """A time as JSON files hold it."""
    return time.isoformat(timespec="milliseconds") + "Z"


def last(seed: int) -> list[tuple[str, Row]]:
    """One event of each kind at the end of time."""
    events = Events(seed, 1)
    kinds = [("person", events.person(0, END)), ("auction", events.auction(0, 0, END)), ("bid", events.bid(0, 0, END))]
    return [(kind, row | ({"id": -1} if "id" in row else {"auction": -1, "bidder": -1})) for kind, row in kinds]


def write(out: Path, number: int, events: list[tuple[str, Row]]) -> None:
    """One file of each kind."""
    for kind in ("person", "auction", "bid"):
        folder = out / kind
        folder.mkdir(parents=True, exist_ok=True)
        lines = (json.dumps(row) + "\n" for of, row in events if of == kind)
        (folder / f"part-{number:05}.json").write_text("".join(lines), encoding="utf-8")


def generate(out: Path, *, events: int, rate: int, files: int, seed: int) -> None:
    """Writes all files."""
    source = Events(seed, rate).all(events)
    size = -(-events // files)
    for number in range(files):
        write(out, number, [event for _, event in zip(range(min(size, events - number * size)), source, strict=False)])
    write(out, files, last(seed))


def main() -> None:
    """Writes what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--rate", type=int, default=10_000, help="events in a second of their time")
    parser.add_argument("--files", type=int, default=10)
    parser.add_argument("--seed", type=int, default=42)
    asked = parser.parse_args()
    generate(asked.out, events=asked.events, rate=asked.rate, files=asked.files, seed=asked.seed)


if __name__ == "__main__":
    main()
