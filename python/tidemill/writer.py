"""Starts queries: `DataFrame.writeStream`, under PySpark's names."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tidemill import _runtime, _tidemill
from tidemill.errors import AnalysisException, IllegalArgumentException, translated, wrong_type
from tidemill.query import StreamingQuery
from tidemill.reader import FILE_FORMATS, _last_part, _text, plain_name
from tidemill.types import to_ddl

if TYPE_CHECKING:
    from typing_extensions import Self

    from tidemill.dataframe import DataFrame

_CHECKPOINT = ("checkpointlocation", "checkpoint_location")
_NEW_INCARNATION = ("newincarnation", "new_incarnation")
_WITHOUT_CHECKPOINT = ("console", "memory", _tidemill.FOREACH_BATCH)
"""Sinks that get a temporary checkpoint when none is named, as in Spark."""


class DataStreamWriter:
    """Says where a stream goes, and starts it.

    >>> query = (
    ...     counts.writeStream.format("delta").outputMode("append")
    ...     .option("checkpointLocation", "checkpoints/counts").start("tables/counts")
    ... )  # doctest: +SKIP
    """

    def __init__(self, frame: DataFrame) -> None:
        self._frame = frame
        self._format: str | None = None
        self._mode: str | None = None
        self._name: str | None = None
        self._trigger: str | None = None
        self._partition_by: list[str] = []
        self._function: Callable[[DataFrame, int], Any] | None = None
        self._late: dict[str, str] | None = None
        self._options: dict[str, str] = {}

    def format(self, source: str) -> Self:
        """Where the rows go: ``console``, ``memory``, ``delta``, ``kafka``, ``log``, or a format of files:
        ``parquet`` (the default, as in Spark, when there is a path), ``json``."""
        self._format = source.lower()
        return self

    def outputMode(self, outputMode: str) -> Self:
        """What the rows mean: ``append`` (each once, the default), ``update`` (new and changed ones), ``complete``
        (the whole result each time)."""
        if not isinstance(outputMode, str) or not outputMode.strip():
            raise wrong_type("outputMode", "append, update or complete", outputMode)
        self._mode = outputMode.strip().lower()
        return self

    output_mode = outputMode

    def option(self, key: str, value: Any) -> Self:
        """One option of the sink, or one of the query:

        ``checkpointLocation``: the directory that makes a restart go on where the query stopped.
        ``newIncarnation`` = ``append``: write to a sink that holds rows of this query from another checkpoint.
        """
        self._options[key] = _text(value)
        return self

    def options(self, **options: Any) -> Self:
        """Several options."""
        for key, value in options.items():
            self.option(key, value)
        return self

    def queryName(self, queryName: str) -> Self:
        """A name for the query. The checkpoint and the markers in sinks carry it, so it must stay the same over
        restarts; the sink ``memory`` has its rows in a table of this name."""
        if not isinstance(queryName, str) or not queryName.strip():
            raise wrong_type("queryName", "a name", queryName)
        self._name = queryName
        return self

    query_name = queryName

    def partitionBy(self, *cols: str | list[str]) -> Self:
        """Columns whose values choose the directory of a Delta table's files."""
        self._partition_by = (
            [*cols[0]] if len(cols) == 1 and not isinstance(cols[0], str) else [str(col) for col in cols]
        )
        return self

    partition_by = partitionBy

    def trigger(
        self,
        *,
        processingTime: str | None = None,
        once: bool | None = None,
        continuous: str | None = None,
        availableNow: bool | None = None,
        realTime: str | None = None,
    ) -> Self:
        """When epochs start. Without a trigger: as soon as there are rows, at the pace the sink likes.

        Args:
            processingTime: at multiples of a time (``"10 seconds"``) since 1970; ``"0 seconds"`` is without a pause.
            once: one epoch over everything that is there, then the query ends.
            availableNow: everything that is there, in as many epochs as the limits ask for, then the query ends.
            continuous: not there; epochs are short anyway.
            realTime: not there; epochs are short anyway.
        """
        given = [processingTime, once, continuous, availableNow, realTime]
        if sum(value is not None for value in given) != 1:
            raise IllegalArgumentException("a trigger is one of processingTime, once, availableNow")
        if continuous is not None or realTime is not None:
            raise AnalysisException(
                "continuous and real-time triggers are not there\n"
                "  = help: leave the trigger out: epochs then start as soon as there are rows, within milliseconds"
            )
        if processingTime is not None:
            if not isinstance(processingTime, str) or not processingTime.strip():
                raise wrong_type("processingTime", "a time such as '10 seconds'", processingTime)
            self._trigger = f"processing-time {processingTime.strip()}"
        elif once:
            self._trigger = "once"
        elif availableNow:
            self._trigger = "available-now"
        else:
            raise IllegalArgumentException("once and availableNow are True or left out")
        return self

    def foreachBatch(self, func: Callable[[DataFrame, int], Any]) -> Self:
        """Calls ``func(batch, batch_id)`` with each epoch's rows, one epoch after the other.

        The rows are a frame that can be computed at once, used several times, and written:
        ``batch.write.format("delta").save(path)``. What the function returns is not looked at.

        Guarantee: at least once, with the same id and the same rows. When the function raises, the query ends with a
        StreamingQueryException that has the exception as its cause, and the batch comes again at the next start.
        ``batch.write`` to Delta tables and files remembers the id, so that a batch that comes again is not doubled
        there; other effects should be idempotent by the id.
        """
        if not callable(func):
            raise wrong_type("func", "a function of a batch and its id", func)
        self._function = func
        return self

    foreach_batch = foreachBatch

    def lateRows(self, format: str, path: str | os.PathLike[str] | None = None, **options: Any) -> Self:  # noqa: A002
        """Keeps the rows that come too late for the query, instead of only counting them. Spark has no such thing.

        They are written and committed with the epoch like any other, exactly once where the sink can: the columns
        of the row as the query reads it, then ``late_window_start`` and ``late_window_end`` (the window that was over;
        NULL without one), ``late_watermark`` and ``late_epoch``. A row of several windows that are over comes once for
        each of them.

        Args:
            format: where they go: ``delta``, ``parquet``, ``json``, ``kafka``, ``log``, ..
            path: the directory or URL of sinks that have one.
            options: other options of that sink.
        """
        given = {key: _text(value) for key, value in options.items()}
        if path is not None:
            given["path"] = os.fspath(path)
        name = format.lower()
        if name in FILE_FORMATS:
            self._late = {"connector": "files", "format": name, **given}
        elif name in ("kafka", "log"):
            self._late = {"connector": name, "format": "json", **given}
        else:
            self._late = {"connector": name, **given}
        return self

    late_rows = lateRows

    def foreach(self, f: Any) -> Self:
        """Not there: a function a row is slow, and cannot be told which rows it has had.

        Raises:
            AnalysisException: always.
        """
        raise AnalysisException("foreach is not there\n  = help: use foreachBatch, and go over batch.collect()")

    def toTable(self, tableName: str, *args: Any, **options: Any) -> StreamingQuery:
        """Not there: tables are named by their paths.

        Raises:
            AnalysisException: always.
        """
        raise AnalysisException(f"there is no catalog for the table `{tableName}`\n  = help: use .start(path)")

    def start(
        self,
        path: str | os.PathLike[str] | None = None,
        format: str | None = None,  # noqa: A002 - PySpark's name
        outputMode: str | None = None,
        partitionBy: str | list[str] | None = None,
        queryName: str | None = None,
        **options: Any,
    ) -> StreamingQuery:
        """Starts the query and gives it back while it runs.

        Args:
            path: the directory or URL of sinks that have one.
            format: as `format`.
            outputMode: as `outputMode`.
            partitionBy: as `partitionBy`.
            queryName: as `queryName`.
            options: as `options`.

        Raises:
            AnalysisException: the query is not valid, the sink does not fit, the checkpoint is another query's.
            SparkRuntimeException: a source, the sink or the checkpoint cannot be opened.
        """
        if format is not None:
            self.format(format)
        if outputMode is not None:
            self.outputMode(outputMode)
        if partitionBy is not None:
            self.partitionBy(*([partitionBy] if isinstance(partitionBy, str) else partitionBy))
        if queryName is not None:
            self.queryName(queryName)
        self.options(**options)
        if path is not None:
            self._options["path"] = os.fspath(path)
        return self._started()

    def _started(self) -> StreamingQuery:
        session = self._frame._session
        relation, tables, given = _runtime.with_stable_names(self._frame)
        relation, functions = _runtime.with_functions(self._frame, relation)
        connector, sink_options = self._sink()
        sink_name = plain_name(_last_part(sink_options.get("path", "")) or sink_options.get("topic", "") or connector)
        sink_name = _runtime.unused(sink_name, [table["name"] for table in tables] + list(given))
        checkpoint, temporary = self._checkpoint(connector, sink_name)
        name = self._name or _recorded_name(checkpoint) or _default_name(checkpoint, temporary, tables)
        if connector == "memory":
            sink_options["table"] = self._memory_table(temporary)
        sink = {"name": sink_name, "columns": [], "options": {"connector": connector, **sink_options}}
        sinks = [sink]
        if self._late is not None:
            late_name = _runtime.unused("late_rows", [sink_name, *(table["name"] for table in tables), *given])
            sink["options"].update(late="table", late_table=late_name)
            sinks.append({"name": late_name, "columns": [], "options": self._late})
        insert = {"table": sink_name, "relation": relation, **({"mode": self._mode} if self._mode else {})}
        spec = {"name": name, "settings": session._settings(), "tables": [*tables, *sinks], "inserts": [insert]}
        options = {"checkpoint": checkpoint, "accept_foreign": self._accepts_foreign()}
        if self._trigger is not None:
            options["trigger"] = self._trigger
        for source in functions.values():
            if source.kind == "source":
                source.available_now = self._trigger == "available-now"
        called = _Called(self._function, session) if self._function is not None else None
        if self._name is not None:
            session.streams._refuse_twice(self._name)
        try:
            with translated():
                inner = session._engine.start(json.dumps(spec), given, json.dumps(options), called, functions)
        except BaseException:
            if temporary:
                shutil.rmtree(checkpoint, ignore_errors=True)
            raise
        return session.streams._add(StreamingQuery(inner, self._name, called, checkpoint if temporary else None))

    def _sink(self) -> tuple[str, dict[str, str]]:
        """The connector and its options, under names the engine has."""
        own = (*_CHECKPOINT, *_NEW_INCARNATION)
        options = {key: value for key, value in self._options.items() if key.lower() not in own}
        if self._function is not None:
            if self._format not in (None, "foreachbatch", "foreach_batch"):
                raise AnalysisException(f"foreachBatch and the sink {self._format} exclude each other")
            return _tidemill.FOREACH_BATCH, options
        if self._partition_by and self._format not in ("delta", None):
            raise AnalysisException(
                f"partitionBy does not fit the sink {self._format} yet\n  = help: it is there for delta"
            )
        match self._format:
            case None if "path" in options:
                return "files", {"format": "parquet", **options}
            case None:
                raise AnalysisException('say where the rows go: .format("delta").start(path), .foreachBatch(func), ..')
            case "delta":
                return self._with_partitions("delta", options)
            case "memory" if self._name is None:
                raise AnalysisException('the sink memory needs a name: .queryName("name")')
            case "noop" | "foreach" | "socket":
                raise AnalysisException(f"the sink {self._format} is not there\n  = help: use foreachBatch")
            case known if known in FILE_FORMATS:
                return "files", {"format": known, **options}
            case "kafka" | "log" if not any(key.lower() == "format" for key in options):
                return self._format, {**self._record_format(), **options}
            case other:
                return other, options

    def _record_format(self) -> dict[str, str]:
        """Without a column ``value``, which Spark's sink asks for, a row becomes a payload of JSON."""
        has_value = any(name.lower() == "value" for name in self._frame.columns)
        return {} if has_value else {"format": "json"}

    def _with_partitions(self, connector: str, options: dict[str, str]) -> tuple[str, dict[str, str]]:
        partitions = {"partition_by": ", ".join(self._partition_by)} if self._partition_by else {}
        return connector, {**partitions, **options}

    def _checkpoint(self, connector: str, sink_name: str) -> tuple[str, bool]:
        """The directory of the checkpoint, and whether it goes with the query."""
        given = next((value for key, value in self._options.items() if key.lower() in _CHECKPOINT), None)
        base = self._frame._session._checkpoint_base()
        if given is None and base is not None:
            given = f"{base.rstrip('/')}/{plain_name(self._name or sink_name)}"
        if given is not None:
            return local_directory(given), False
        if connector in _WITHOUT_CHECKPOINT:
            return tempfile.mkdtemp(prefix="tidemill-checkpoint-"), True
        raise AnalysisException(
            f"the sink {connector} needs a checkpoint, so that a restart goes on where the query stopped\n"
            '  = help: .option("checkpointLocation", "a/directory"), or set spark.sql.streaming.checkpointLocation',
            "CHECKPOINT_LOCATION_REQUIRED",
        )

    def _accepts_foreign(self) -> bool:
        given = next((value for key, value in self._options.items() if key.lower() in _NEW_INCARNATION), None)
        if given not in (None, "append"):
            raise IllegalArgumentException(f"newIncarnation takes `append`, not `{given}`")
        return given is not None

    def _memory_table(self, is_new: bool) -> str:
        """The engine's table behind the name; a query that starts anew begins with an empty one."""
        session, name = self._frame._session, str(self._name)
        ddl = ", ".join(f"`{field.name}` {to_ddl(field.dataType)}" for field in self._frame.schema)
        table = session._key(f"memory {name}") if is_new else f"memory {name}"
        session._memory[name.lower()] = (table, ddl)
        return table


class _Called:
    """What the engine calls with the rows of an epoch."""

    def __init__(self, function: Callable[[DataFrame, int], Any], session: Any) -> None:
        self._function = function
        self._session = session
        self.thread: int | None = None

    def __call__(self, rows: Any, batch_id: int, writer: tuple[str, str, str]) -> None:
        from tidemill.batch import batch_frame

        self.thread = threading.get_ident()
        try:
            self._function(batch_frame(self._session, rows, batch_id, writer), batch_id)
        finally:
            self.thread = None


def local_directory(location: str) -> str:
    """The place that a checkpoint's location names: a directory of this machine, or the URL of a folder in an object
    store as it is. Another scheme is refused by the engine."""
    scheme, separator, rest = location.partition("://")
    if not separator:
        return os.path.abspath(location)
    return os.path.abspath(rest) if scheme == "file" else location


def _recorded_name(checkpoint: str) -> str | None:
    """The name of the query that made the checkpoint, if it is there."""
    try:
        return json.loads((Path(checkpoint) / "metadata.json").read_text(encoding="utf-8"))["pipeline"]
    except (OSError, ValueError, KeyError):
        # there is none yet; or the engine says what is wrong with it
        return None


def _default_name(checkpoint: str, temporary: bool, tables: list[dict[str, Any]]) -> str:
    if not temporary:
        return plain_name(os.path.basename(checkpoint.rstrip("/")))
    return "_".join(table["name"] for table in tables) or "query"
