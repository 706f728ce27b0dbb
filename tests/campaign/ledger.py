"""The ledger: a line for every cycle and one for every block of cycles, appended as they end.

A block is some cycles on one checkpoint and the comparison at its end; it counts as a whole or not at all,
so a campaign that was cut off goes on after the last whole block.
"""

import json
import signal
from collections import Counter
from pathlib import Path


class Ledger:
    """A file of JSON lines."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.blocks: list[dict] = []
        self.cycles: list[dict] = []
        if path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                self._take(json.loads(line))

    def add(self, block: dict, cycles: list[dict]) -> None:
        """Appends a whole block."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        entries = [*cycles, block]
        with self.path.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(entry, separators=(",", ":")) + "\n" for entry in entries)
        for entry in entries:
            self._take(entry)

    def hits(self, cell: str) -> Counter[str]:
        """How often each step was broken in a cell."""
        hits: Counter[str] = Counter()
        for cycle in self.cycles:
            if cycle["cell"] == cell and cycle["step"]:
                hits[cycle["step"]] += cycle["fired"]
        return hits

    def kills(self) -> int:
        """Processes that a kill ended; one that was asked to end may have been done before it."""
        return sum(cycle["lives"] for cycle in self.cycles if cycle["code"] == -signal.SIGKILL)

    def _take(self, entry: dict) -> None:
        (self.blocks if "result" in entry else self.cycles).append(entry)
