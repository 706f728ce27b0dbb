"""Holds rows that came out against those that had to: which are lost, doubled, or were never due.

Must not know where rows come from.
"""

from collections import Counter
from collections.abc import Hashable

SHOWN = 5


def compare(expected: Counter, seen: Counter) -> list[str]:
    """What is wrong, a line for each kind; empty when both are the same rows the same number of times."""
    lost = expected - seen
    over = seen - expected
    doubled = Counter({row: count for row, count in over.items() if row in expected})
    foreign = Counter({row: count for row, count in over.items() if row not in expected})
    found = (("lost", lost), ("doubled", doubled), ("wrong: never due", foreign))
    return [told(what, rows) for what, rows in found if rows]


def premature(expected: Counter, seen: Counter) -> list[str]:
    """What is wrong so far, while more may come: rows doubled, or rows that are never due."""
    return compare(expected & seen, seen)


def told(what: str, rows: Counter[Hashable]) -> str:
    """The first few rows of a kind."""
    some = ", ".join(f"{row}" + (f" x{count}" if count > 1 else "") for row, count in list(rows.items())[:SHOWN])
    more = f" and {len(rows) - SHOWN} more" if len(rows) > SHOWN else ""
    return f"{rows.total()} rows {what}: {some}{more}"
