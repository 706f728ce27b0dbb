"""Between a data source and the engine: offsets as JSON, rows in batches."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tidemill.datasource.limits import ReadAllAvailable, SupportsTriggerAvailableNow
from tidemill.errors import PySparkRuntimeError, PySparkTypeError, PySparkValueError

if TYPE_CHECKING:
    from tidemill.types import StructType

ROWS_AT_ONCE = 10_000
"""Rows that become a batch."""


class StreamSource:
    """What the engine is given of a data source that is read as a stream.

    Attributes:
        kind: tells the engine what it is.
        shown: the name people know.
        columns: all columns, as DDL.
        available_now: the query ends when what is there has been read.
    """

    kind = "source"

    def __init__(self, source: Any, schema: StructType) -> None:
        from tidemill.types import to_ddl

        self.shown = type(source).name()
        self.columns = ", ".join(
            f"`{field.name}` {to_ddl(field.dataType)}{'' if field.nullable else ' NOT NULL'}" for field in schema.fields
        )
        self.available_now = False
        self._source = source
        self._schema = schema

    def open(self) -> Reader:
        """A reader of its own for a query that starts."""
        return Reader(stream_reader(self._source, self._schema), self.available_now)


def stream_reader(source: Any, schema: StructType) -> Any:
    """The source's stream reader; a simple one is wrapped."""
    try:
        return source.streamReader(schema)
    except NotImplementedError:
        return SimpleReader(source.simpleStreamReader(schema))


class Reader:
    """A stream reader whose offsets are texts of JSON.

    Attributes:
        takes_limits: it is told where an epoch begins and how much it may hold.
        ends_itself: it gives no offset beyond what was there when the query was started.
    """

    def __init__(self, reader: Any, available_now: bool) -> None:
        self._reader = reader
        self.takes_limits = isinstance(reader, SimpleReader) or bool(inspect.signature(reader.latestOffset).parameters)
        inner = reader.inner if isinstance(reader, SimpleReader) else reader
        # by its method, so that a class derived from PySpark's own counts
        mixed_in = isinstance(inner, SupportsTriggerAvailableNow) or hasattr(inner, "prepareForTriggerAvailableNow")
        self.ends_itself = available_now and mixed_in
        if self.ends_itself:
            inner.prepareForTriggerAvailableNow()

    def initial(self) -> str:
        """Where a new query begins."""
        return _text(self._reader.initialOffset(), "initialOffset")

    def latest(self, start: str, limited: bool) -> str | None:
        """How far there is something after `start`; None when there is nothing."""
        begin = json.loads(start)
        if self.takes_limits:
            limit = self._reader.getDefaultReadLimit() if limited else ReadAllAvailable()
            end = self._reader.latestOffset(begin, limit)
        else:
            end = self._reader.latestOffset()
        text = _text(end, "latestOffset")
        return None if json.loads(text) == begin else text

    def newest(self) -> str | None:
        """The newest offset, if the source tells it."""
        tell = getattr(self._reader, "reportLatestOffset", None)
        offset = tell() if tell is not None else None
        return None if offset is None else _text(offset, "reportLatestOffset")

    def batches(self, start: str, end: str) -> Iterator[Any]:
        """The rows between two offsets: lists of rows, and Arrow's batches."""
        begin, until = json.loads(start), json.loads(end)
        for partition in self._reader.partitions(begin, until):
            yield from _batches(self._reader.read(partition))

    def commit(self, end: str) -> None:
        """Everything up to `end` is committed."""
        self._reader.commit(json.loads(end))

    def stop(self) -> None:
        """The query has ended."""
        self._reader.stop()


class SimpleReader:
    """A simple stream reader as one that is planned: what it read to find out how far there is something is kept
    until it is committed."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self._kept: tuple[dict, dict, list[Any]] | None = None

    def initialOffset(self) -> dict:
        """As the reader says."""
        return self.inner.initialOffset()

    def getDefaultReadLimit(self) -> ReadAllAvailable:
        """It limits itself."""
        return ReadAllAvailable()

    def latestOffset(self, start: dict, limit: Any) -> dict:
        """Reads, and keeps what was read."""
        if self._kept is not None and self._kept[0] == start:
            return self._kept[1]
        rows, end = self.inner.read(start)
        rows = list(rows)
        if end == start and rows:
            raise PySparkRuntimeError(
                f"read({start}) gave {len(rows)} rows and the same offset again, so they would come again for ever",
                "SIMPLE_STREAM_READER_OFFSET_DID_NOT_ADVANCE",
                {"start_offset": json.dumps(start), "end_offset": json.dumps(end)},
            )
        if end != start:
            self._kept = (start, end, rows)
        return end

    def partitions(self, start: dict, end: dict) -> list[tuple[dict, dict]]:
        """One."""
        return [(start, end)]

    def read(self, partition: tuple[dict, dict]) -> Any:
        """What is kept, or the same read again."""
        start, end = partition
        if self._kept is not None and self._kept[:2] == (start, end):
            return iter(self._kept[2])
        return self.inner.readBetweenOffsets(start, end)

    def commit(self, end: dict) -> None:
        """Forgets what is kept."""
        if self._kept is not None and self._kept[1] == end:
            self._kept = None
        self.inner.commit(end)

    def stop(self) -> None:
        """A simple reader has nothing to stop, unless it says so."""
        getattr(self.inner, "stop", lambda: None)()


def all_rows(source: Any, schema: StructType) -> Any:
    """All rows of a source that is read once: an object with ``__arrow_c_stream__``."""
    from tidemill._values import rows_of
    from tidemill.batch import needed

    reader = source.reader(schema)
    rows: list[Any] = []
    tables: list[Any] = []
    for partition in list(reader.partitions()) or [None]:
        for batch in _batches(reader.read(partition)):
            if isinstance(batch, list):
                rows.extend(batch)
            else:
                tables.append(batch)
    if not tables:
        return rows_of(rows, schema)
    if rows:
        raise PySparkTypeError(
            f"the data source {type(source).name()} gave rows and Arrow's batches: keep to one of them"
        )
    return needed("pyarrow").Table.from_batches(tables).select([field.name for field in schema.fields])


def _batches(read: Any) -> Iterator[Any]:
    """Rows in lists, Arrow's batches as they come."""
    if not hasattr(read, "__iter__"):
        raise PySparkTypeError(
            f"read gave {type(read).__name__}, and no iterator of rows", "DATA_SOURCE_INVALID_RETURN_TYPE"
        )
    rows: list[Any] = []
    for item in read:
        if hasattr(item, "__arrow_c_array__"):
            if rows:
                yield rows
                rows = []
            yield item
            continue
        rows.append(item)
        if len(rows) == ROWS_AT_ONCE:
            yield rows
            rows = []
    if rows:
        yield rows


def _text(offset: Any, method: str) -> str:
    if not isinstance(offset, dict):
        raise PySparkTypeError(
            f"{method} gave {type(offset).__name__}, and an offset is a dict", "DATA_SOURCE_INVALID_RETURN_TYPE"
        )
    try:
        return json.dumps(offset)
    except (TypeError, ValueError) as error:
        raise PySparkValueError(f"{method} gave an offset that is not JSON: {error}") from None
