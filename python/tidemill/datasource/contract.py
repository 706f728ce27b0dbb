"""What a data source of the user's program implements. The methods, their arguments and results are PySpark's."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping, Sequence
from typing import TYPE_CHECKING, Any

from tidemill.datasource.limits import ReadAllAvailable, ReadLimit
from tidemill.errors import PySparkNotImplementedError

if TYPE_CHECKING:
    from tidemill.types import StructType

Offset = dict[str, Any]
"""A position: a dict, whose values are texts, whole numbers, booleans or such dicts."""


class DataSource:
    """A source of rows, named by its `name`: what ``spark.readStream.format(name)`` reads from.

    Args:
        options: the options of the reader; their names may be written in any case.
    """

    def __init__(self, options: MutableMapping[str, str]) -> None:
        self.options = options

    @classmethod
    def name(cls) -> str:
        """The name it is registered and read by; the name of the class unless overridden."""
        return cls.__name__

    def schema(self) -> StructType | str:
        """The columns, for readers that are given none: a StructType, or DDL."""
        raise _missing("schema")

    def reader(self, schema: StructType) -> DataSourceReader:
        """Reads all rows once, for ``spark.read``."""
        raise _missing("reader")

    def streamReader(self, schema: StructType) -> DataSourceStreamReader:
        """Reads a stream, planned in partitions."""
        raise _missing("streamReader")

    def simpleStreamReader(self, schema: StructType) -> SimpleDataSourceStreamReader:
        """Reads a stream whose rows tell its newest offset; asked for when there is no `streamReader`."""
        raise _missing("simpleStreamReader")


class InputPartition:
    """A part of what is to be read.

    Args:
        value: what tells it from the others.
    """

    def __init__(self, value: Any) -> None:
        self.value = value

    def __repr__(self) -> str:
        attributes = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"{type(self).__name__}({attributes})"


class DataSourceReader:
    """Reads all rows of a source."""

    def partitions(self) -> Sequence[InputPartition]:
        """The parts it is read in; without them `read` is called once, with None."""
        return []

    def read(self, partition: InputPartition) -> Iterator[Any]:
        """The rows of a partition: tuples, Rows or pyarrow RecordBatches."""
        raise _missing("read")


class DataSourceStreamReader:
    """Reads a stream between offsets. All methods are called by one thread at a time."""

    def initialOffset(self) -> Offset:
        """Where a new query begins."""
        raise _missing("initialOffset")

    def latestOffset(self, start: Offset, limit: ReadLimit) -> Offset:
        """How far there is something to read; `start` when there is nothing new. May be written without arguments,
        as before Spark 4.2.

        Args:
            start: where the epoch begins.
            limit: what `getDefaultReadLimit` gave, or ReadAllAvailable.
        """
        raise _missing("latestOffset")

    def getDefaultReadLimit(self) -> ReadLimit:
        """How much an epoch may read."""
        return ReadAllAvailable()

    def reportLatestOffset(self) -> Offset | None:
        """The newest offset, for reports; None when it is not known."""
        return None

    def partitions(self, start: Offset, end: Offset) -> Sequence[InputPartition]:
        """The parts in which an epoch between two offsets is read. The same offsets must give the same rows."""
        raise _missing("partitions")

    def read(self, partition: InputPartition) -> Iterator[Any]:
        """The rows of a partition: tuples, Rows or pyarrow RecordBatches."""
        raise _missing("read")

    def commit(self, end: Offset) -> None:
        """Everything up to `end` is committed, and will not be asked for again."""

    def stop(self) -> None:
        """The query has ended."""


class SimpleDataSourceStreamReader:
    """Reads a stream in one piece an epoch."""

    def initialOffset(self) -> Offset:
        """Where a new query begins."""
        raise _missing("initialOffset")

    def read(self, start: Offset) -> tuple[Iterator[Any], Offset]:
        """What there is after `start`, and the offset after it."""
        raise _missing("read")

    def readBetweenOffsets(self, start: Offset, end: Offset) -> Iterator[Any]:
        """The same rows that `read` gave between the two: called when an epoch has to be run again."""
        raise _missing("readBetweenOffsets")

    def commit(self, end: Offset) -> None:
        """Everything up to `end` is committed, and will not be asked for again."""


def _missing(feature: str) -> PySparkNotImplementedError:
    return PySparkNotImplementedError(f"{feature} is not implemented", "NOT_IMPLEMENTED", {"feature": feature})
