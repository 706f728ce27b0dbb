"""What a check of the conformance suite needs of a source: a place that a query reads and somebody else writes.

A subject (a source with its real system) gives places; each check takes a fresh one.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

COLUMNS = "(lane BIGINT, number BIGINT, `check` BIGINT, pad STRING)"
SELECT = "lane, number, `check`"


@dataclass(frozen=True)
class Start:
    """A way to say where a query begins: its options, and whether what lies there already comes."""

    options: dict[str, object]
    reads_what_is_there: bool


class Place(ABC):
    """A topic, a stream, a table or a folder."""

    # of the query that reads it
    options: dict[str, object]
    columns: str = COLUMNS
    select: str = SELECT
    # records can only be handed to a query that runs
    is_pushed: bool = False
    # options that keep what is read ahead small
    frugal: dict[str, object] = {}
    # what must never be told
    secrets: tuple[str, ...] = ()

    @abstractmethod
    def feed(self, texts: list[str]) -> None:
        """Writes records of `sequences`, which may have a field `pad` besides; they are durable when it returns."""

    def starts(self) -> dict[str, Start]:
        """Where a query may begin, of what is there at the moment of the call."""
        return {}

    def spoil(self) -> tuple[bytes, str] | None:
        """Writes a record that cannot be decoded; its bytes, and a part of its position as dead letters name it."""
        return None

    def acknowledged(self) -> bool | None:
        """Whether the system has been told that what was fed may be forgotten; `None`: nobody tells it."""
        return None

    def is_ready(self) -> bool:
        """True when records may be handed to a query that runs."""
        return True


class Subject(ABC):
    """A source and its system."""

    name: str

    @abstractmethod
    def place(self, name: str) -> Place:
        """A fresh place."""

    @abstractmethod
    def close(self) -> None:
        """Ends the system."""
