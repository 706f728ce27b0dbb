"""Records that prove themselves, for tests of sources: numbered without a gap in each lane, each with a checksum.

A lane is what a source keeps in order: a partition, a shard, a file. What came out is held against what went in: what
is lost, doubled, foreign, changed, or out of order.
"""

import json
import sys
import zlib
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "kill"))

from validator import compare  # noqa: E402


def record(lane: int, number: int) -> str:
    """The record of a number, as JSON; always the same one."""
    return json.dumps({"lane": lane, "number": number, "check": check(lane, number)})


def check(lane: int, number: int) -> int:
    """Its checksum."""
    return zlib.crc32(f"{lane}/{number}".encode())


class Sequences:
    """What went in, and whether that is what came out."""

    def __init__(self) -> None:
        self.made: Counter[int] = Counter()

    def next(self, lane: int) -> str:
        """One more record of a lane."""
        text = record(lane, self.made[lane])
        self.made[lane] += 1
        return text

    def total(self) -> int:
        """How many records went in."""
        return self.made.total()

    def wrong(self, seen: list[str]) -> list[str]:
        """What is wrong with the records that came out, in their order; empty when nothing is."""
        rows = [json.loads(text) for text in seen]
        changed = [row for row in rows if row["check"] != check(row["lane"], row["number"])]
        wrong = [f"{len(changed)} records changed: {changed[:3]}"] if changed else []
        expected = Counter((lane, number) for lane, count in self.made.items() for number in range(count))
        wrong += compare(expected, Counter((row["lane"], row["number"]) for row in rows))
        newest: dict[int, int] = {}
        for row in rows:
            lane, number = row["lane"], row["number"]
            if number < newest.get(lane, -1):
                wrong.append(f"lane {lane}: {number} came after {newest[lane]}")
                break
            newest[lane] = number
        return wrong
