"""The session: where frames come from and queries are found. PySpark's ``SparkSession``, without a cluster behind it.

A session owns the engine's threads, its tables in memory and its temporary views. ``Session.builder.getOrCreate()``
gives the active one, as in PySpark; ``Session()`` makes another, which shares nothing with it.
"""

from __future__ import annotations

import atexit
import json
import re
import weakref
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from tidemill import _tidemill
from tidemill.dataframe import DataFrame
from tidemill.datasource.registration import DataSourceRegistration
from tidemill.errors import AnalysisException, IllegalArgumentException, translated
from tidemill.query import StreamingQueryManager
from tidemill.reader import DataFrameReader, DataStreamReader
from tidemill.udf import UDFRegistration, UserDefinedFunction
from tidemill.udf.registration import with_aggregates

_NOT_FOR_THE_ENGINE = {
    "spark.app.name",
    "spark.master",
    "spark.sql.streaming.checkpointlocation",
    "checkpoint_location",
    "checkpointlocation",
}
_STATEMENTS = {
    "ALTER",
    "CREATE",
    "DELETE",
    "DESCRIBE",
    "DROP",
    "EXPLAIN",
    "INSERT",
    "MERGE",
    "SET",
    "SHOW",
    "UPDATE",
    "USE",
}
STOP_SECONDS = 10.0
"""How long a program that ends waits for each query to finish its epoch."""


class RuntimeConfig:
    """The session's settings: the engine's names, and Spark's (``spark.sql.session.timeZone``)."""

    def __init__(self, check: Callable[[dict[str, str]], None]) -> None:
        self._values: dict[str, str] = {}
        self._check = check

    def set(self, key: str, value: Any) -> None:
        """Sets one; queries that run already do not change.

        Raises:
            AnalysisException: a key that is neither the engine's nor Spark's, or a value that is not of its type.
        """
        values = {**self._values, key: str(value).lower() if isinstance(value, bool) else str(value)}
        self._check(values)
        self._values = values

    def get(self, key: str, default: str | None = None) -> str | None:
        """The value of one, or `default`."""
        return self._values.get(key, default)

    def unset(self, key: str) -> None:
        """Takes one back to its default."""
        self._values.pop(key, None)

    @property
    def getAll(self) -> dict[str, str]:
        """Every setting that was made."""
        return dict(self._values)


class Session:
    """Where frames come from and queries are found.

    Args:
        name: a name for people; None for none.
        settings: the engine's settings, as ``{"parallelism": "4"}``, or Spark's.
    """

    _active: ClassVar[Session | None] = None

    class Builder:
        """Makes the active session, or gives the one there is."""

        def __init__(self) -> None:
            self._name: str | None = None
            self._settings: dict[str, str] = {}

        def appName(self, name: str) -> Session.Builder:
            """A name for people."""
            self._name = name
            return self

        def master(self, master: str) -> Session.Builder:
            """Accepted as in Spark; there is one machine."""
            return self

        def remote(self, url: str) -> Session.Builder:
            """There is no server to connect to.

            Raises:
                AnalysisException: always.
            """
            raise AnalysisException(f"a Tidemill session runs in this process, and cannot be at {url}")

        def config(
            self,
            key: str | None = None,
            value: Any = None,
            *,
            map: Mapping[str, Any] | None = None,  # noqa: A002
        ) -> Session.Builder:
            """A setting, or several."""
            for name, given in {**(map or {}), **({key: value} if key is not None else {})}.items():
                self._settings[name] = str(given).lower() if isinstance(given, bool) else str(given)
            return self

        def enableHiveSupport(self) -> Session.Builder:
            """Accepted as in Spark; tables are named by their paths."""
            return self

        def getOrCreate(self) -> Session:
            """The active session, with these settings added; a new one if there is none."""
            session = Session._active
            if session is None or session._stopped:
                session = Session._active = Session(self._name)
            for key, value in self._settings.items():
                session.conf.set(key, value)
            return session

        def create(self) -> Session:
            """A new session with these settings; it becomes the active one."""
            session = Session._active = Session(self._name, self._settings)
            return session

    class _BuilderProperty:
        def __get__(self, instance: object, owner: type) -> Session.Builder:
            return Session.Builder()

    builder = _BuilderProperty()

    def __init__(self, name: str | None = None, settings: Mapping[str, Any] | None = None) -> None:
        self._name = name
        self._engine = _tidemill.Engine()
        self._views: dict[str, DataFrame] = {}
        self._memory: dict[str, tuple[str, str]] = {}
        self._made: dict[str, int] = {}
        self._functions: dict[str, UserDefinedFunction] = {}
        self._sources: dict[str, type] = {}
        self._stopped = False
        self._listening = False
        self.conf = RuntimeConfig(self._check_settings)
        self.streams = StreamingQueryManager()
        for key, value in (settings or {}).items():
            self.conf.set(key, value)
        # a query that calls Python must not run when the interpreter is taken down
        streams = weakref.ref(self.streams)
        self._at_exit = lambda: _stop_all(streams())
        atexit.register(self._at_exit)

    # --- frames ----------------------------------------------------------------------------------

    @property
    def readStream(self) -> DataStreamReader:
        """Reads streams."""
        return DataStreamReader(self)

    @property
    def read(self) -> DataFrameReader:
        """Reads tables once."""
        return DataFrameReader(self)

    read_stream = readStream

    @property
    def udf(self) -> UDFRegistration:
        """Gives Python functions names that SQL can call them by."""
        return UDFRegistration(self)

    @property
    def dataSource(self) -> DataSourceRegistration:
        """Gives data sources written in Python names that readers can name them by."""
        return DataSourceRegistration(self)

    def table(self, tableName: str) -> DataFrame:
        """A temporary view, or the rows a query with the sink ``memory`` and this name has written so far.

        Raises:
            AnalysisException: there is neither.
        """
        view = self._views.get(tableName.lower())
        if view is not None:
            return view
        if tableName.lower() in self._memory:
            return self._memory_frame(tableName)
        known = sorted([*self._views, *self._memory])
        raise AnalysisException(
            f"there is no table or view called `{tableName}`"
            + (f"\n  = help: tables and views: {', '.join(known)}" if known else ""),
            "TABLE_OR_VIEW_NOT_FOUND",
            {"relationName": tableName},
        )

    def sql(self, sqlQuery: str, args: Mapping[str, Any] | None = None, **kwargs: Any) -> DataFrame:
        """A query in SQL over the session's views and memory tables, and over frames given by name.

        ``spark.sql("SELECT k FROM {events}", events=frame)``; ``FROM events`` finds a frame given so as well.

        Raises:
            AnalysisException: the query is not valid (when the frame is used).
        """
        if args:
            raise AnalysisException("parameters in SQL are not there yet; write the values into the text")
        statement = re.match(r"\s*(\w+)", sqlQuery)
        if statement is not None and statement[1].upper() in _STATEMENTS:
            return self._statement(statement[1].upper(), sqlQuery)
        frames: dict[str, DataFrame] = {}
        for name in dict.fromkeys([*self._views, *self._memory]):
            if re.search(rf"(?<![\w]){re.escape(name)}(?![\w])", sqlQuery, re.IGNORECASE):
                frames[name] = self.table(name)
        text = with_aggregates(sqlQuery, self._functions)
        for name, value in kwargs.items():
            if isinstance(value, DataFrame):
                frames[name] = value
                text = text.replace("{" + name + "}", name)
            else:
                text = text.replace("{" + name + "}", _sql_literal(value))
        tables: dict[str, Any] = {}
        for frame in frames.values():
            tables.update(frame._tables)
        relations = [[name, frame._relation] for name, frame in frames.items()]
        return DataFrame({"node": "sql", "sql": text, "relations": relations}, self, tables)

    def createDataFrame(self, data: Any, schema: Any = None, *unused: Any, **ignored: Any) -> DataFrame:
        """A table of rows that are there.

        Args:
            data: a list of tuples, dicts or Rows; or a pandas, Polars or Arrow table, or anything with
                ``__arrow_c_stream__``.
            schema: columns as DDL or StructType, or names alone, whose types are then those of the values.
        """
        from tidemill._values import rows_of

        return self._from_arrow("data", rows_of(data, schema))

    def range(self, start: int, end: int | None = None, step: int = 1) -> DataFrame:
        """A table with the column ``id``, from `start` (or 0) to before `end`."""
        first, last = (0, start) if end is None else (start, end)
        return self.createDataFrame([(number,) for number in range(first, last, step)], "id BIGINT")

    # --- what runs -------------------------------------------------------------------------------

    def listen(self, address: str | None = None) -> str:
        """Serves the live page of the session's queries, ``/metrics`` (OpenMetrics) and the health checks; see
        docs/monitoring.md.

        Args:
            address: ``host:port``; port 0 takes a free one. None for ``127.0.0.1:4040``, or a free port if that is taken.

        Returns:
            The page's URL.

        Raises:
            AnalysisException: text that is no address.
            SparkRuntimeException: the address cannot be had.
        """
        with translated():
            url = self._engine.serve(address)
        self._listening = True
        return url

    def metrics(self) -> str:
        """The metrics of the session's queries as OpenMetrics text."""
        return self._engine.metrics()

    def summary(self) -> str:
        """What the session's queries have read and written so far, how fast, and what it cost; text for people."""
        return self._engine.summary()

    # --- what it is ------------------------------------------------------------------------------

    @property
    def version(self) -> str:
        """The version of Tidemill."""
        return _tidemill.__version__

    @property
    def sparkContext(self) -> Session:
        """The session itself, for ``spark.sparkContext.setLogLevel(..)``."""
        return self

    def setLogLevel(self, logLevel: str) -> None:
        """Accepted as in Spark."""

    @classmethod
    def getActiveSession(cls) -> Session | None:
        """The active session, or None."""
        return cls._active

    active = getActiveSession

    def newSession(self) -> Session:
        """Another session with the same settings; views and tables in memory are its own."""
        return Session(self._name, self.conf.getAll)

    def stop(self) -> None:
        """Stops every query; waits for each to finish its epoch."""
        _stop_all(self.streams)
        if self._listening:
            self._engine.stop_serving()
        atexit.unregister(self._at_exit)
        self._stopped = True
        if Session._active is self:
            Session._active = None

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    # --- for the other modules -------------------------------------------------------------------

    def _settings(self) -> dict[str, str]:
        return _for_the_engine(self.conf.getAll)

    def _check_settings(self, values: Mapping[str, str]) -> None:
        """Has the engine check settings, by a plan that needs nothing else."""
        one = {"node": "values", "rows": [[{"node": "literal", "data_type": "int", "text": "1"}]]}
        spec = {
            "name": "settings",
            "settings": _for_the_engine(values),
            "inserts": [{"table": "rows", "relation": one}],
        }
        with translated():
            self._engine.schema(json.dumps(spec), {})

    def _checkpoint_base(self) -> str | None:
        for key, value in self.conf.getAll.items():
            if key.lower() in _NOT_FOR_THE_ENGINE and "checkpoint" in key.lower():
                return value
        return None

    def _key(self, base: str) -> str:
        """A name for a table that no other table of the session has."""
        self._made[base] = self._made.get(base, 0) + 1
        return base if self._made[base] == 1 else f"{base}__{self._made[base]}"

    def _table_frame(self, definition: Mapping[str, Any]) -> DataFrame:
        key = self._key(definition["name"])
        return DataFrame({"node": "table", "name": [key]}, self, {key: dict(definition)})

    def _from_arrow(self, name: str, rows: Any) -> DataFrame:
        return self._table_frame({"name": name, "arrow": rows, "static": True})

    def _statement(self, kind: str, text: str) -> DataFrame:
        """``SET key = value`` is a setting; other statements are for pipeline files."""
        found = re.fullmatch(r"\s*SET\s+([\w.]+)\s*=\s*(.*?)\s*;?\s*", text, re.IGNORECASE | re.DOTALL)
        if found is None:
            raise AnalysisException(
                f"sql() takes queries, and no {kind} statement\n  = help: read tables with session.readStream and "
                "session.read; a whole pipeline file is run by `tidemill run FILE.sql`"
            )
        key, value = found[1], found[2].strip("'\"")
        self.conf.set(key, value)
        return self.createDataFrame([(key, value)], "key STRING, value STRING")

    def _add_view(self, name: str, frame: DataFrame) -> None:
        if not re.fullmatch(r"\w+", name):
            raise IllegalArgumentException(f"`{name}` is no name for a view: letters, digits and _ only")
        self._views[name.lower()] = frame

    def _memory_frame(self, name: str) -> DataFrame:
        table, ddl = self._memory[name.lower()]
        with translated():
            rows = self._engine.memory_table(table)
            return self._from_arrow(name.lower(), rows if rows is not None else _tidemill.from_rows(ddl, "[]"))

    def __repr__(self) -> str:
        return f"<tidemill.Session {self._name or ''} with {len(self.streams.active)} active queries>"


def _for_the_engine(settings: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in settings.items() if key.lower() not in _NOT_FOR_THE_ENGINE}


def _sql_literal(value: Any) -> str:
    match value:
        case None:
            return "NULL"
        case bool():
            return str(value).upper()
        case int() | float():
            return repr(value)
        case str():
            return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
    raise IllegalArgumentException(f"a {type(value).__name__} cannot stand in SQL; give a frame, text or a number")


def _stop_all(streams: StreamingQueryManager | None) -> None:
    if streams is not None:
        streams._stop_all(STOP_SECONDS)


SparkSession = Session
__all__ = ["RuntimeConfig", "Session", "SparkSession"]
