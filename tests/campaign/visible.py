"""What a reader sees at the moment of a kill must be whole epochs, and must never go back.

All rows of a window become final in one epoch: a reader that sees some of them and not all has seen half
an epoch. `windows` are the oracle's rows by the end of their window.
"""

from collections import Counter, defaultdict

from validator import told

CLOSED = 1


class Visible:
    """What has been seen so far."""

    def __init__(self) -> None:
        self.seen: Counter[tuple] = Counter()
        self.looks = 0

    def look(self, expected: Counter[tuple], seen: Counter[tuple]) -> list[str]:
        """What is wrong with what is seen now; empty when nothing is."""
        self.looks += 1
        wrong = []
        if gone := self.seen - seen:
            wrong.append(told("that were seen before are gone", gone))
        if over := seen - expected:
            wrong.append(told("doubled or never due", over))
        by_window: dict[int, Counter[tuple]] = defaultdict(Counter)
        for row, count in expected.items():
            by_window[row[CLOSED]][row] = count
        for closed in {row[CLOSED] for row in seen}:
            if missing := by_window[closed] - seen:
                wrong.append(told(f"of the window that ends at {closed} are missing while others are there", missing))
        self.seen = seen
        return wrong
