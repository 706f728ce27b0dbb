"""How much an epoch may read of a data source: ``pyspark.sql.streaming.datasource``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass


class ReadLimit:
    """A bound of an epoch."""


@dataclass
class ReadAllAvailable(ReadLimit):
    """All there is, whatever the source's options say."""


@dataclass
class ReadMinRows(ReadLimit):
    """At least so many rows, or none yet."""

    min_rows: int


@dataclass
class ReadMaxRows(ReadLimit):
    """At most so many rows."""

    max_rows: int


@dataclass
class ReadMaxFiles(ReadLimit):
    """At most so many files."""

    max_files: int


@dataclass
class ReadMaxBytes(ReadLimit):
    """At most so many bytes."""

    max_bytes: int


class SupportsTriggerAvailableNow(ABC):
    """A stream reader that itself ends what ``trigger(availableNow=True)`` reads, and so may be read in several
    epochs. Without it that trigger reads all there is in one."""

    @abstractmethod
    def prepareForTriggerAvailableNow(self) -> None:
        """From now on no offset is given that is newer than what is there now."""
