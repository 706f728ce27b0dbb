"""The cells of the campaign: a pipeline, the sink that is watched, and where state is kept.

The pipelines are those of the kill loop (tests/kill); a cell says in which query the faults are.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Cell:
    """A sink and a state backend."""

    sink: str
    state: str
    pipeline: str
    query: str

    @property
    def name(self) -> str:
        """How the ledger calls it."""
        return f"{self.sink}/{self.state}"


PIPELINES = (
    ("delta", "files-delta", "loop"),
    ("files", "log-files", "loop.results"),
    ("log", "log-files", "loop.topic"),
    ("postgres", "files-postgres", "loop"),
    ("redis", "files-redis", "loop"),
    ("kafka", "kafka-kafka", "loop"),
)
STATES = ("memory", "rocksdb")


def cells(sinks: list[str]) -> list[Cell]:
    """Those of the sinks that are asked for."""
    return [Cell(sink, state, *rest) for sink, *rest in PIPELINES if sink in sinks for state in STATES]
