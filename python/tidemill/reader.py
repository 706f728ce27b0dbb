"""Readers: streams (`Session.readStream`) and tables that are read once (`Session.read`), under PySpark's names."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

from tidemill.datasource import registration
from tidemill.errors import AnalysisException, IllegalArgumentException

if TYPE_CHECKING:
    from typing_extensions import Self

    from tidemill.dataframe import DataFrame
    from tidemill.session import Session

FILE_FORMATS = ("json", "csv", "parquet", "avro", "raw")
"""Formats of files that Spark names as if they were sources."""
_RECORDS = ("kafka", "log")
_KAFKA_NAMES = {"kafka.group.id": "group_id"}


class DataStreamReader:
    """Reads a stream: ``session.readStream.format("kafka").option(..).schema(..).load()``.

    Options have Spark's names (``maxFilesPerTrigger``) or the engine's (``max_files_per_trigger``); a misspelled one
    is refused with the nearest known one when the frame is used. ``tidemill connectors`` lists them all.
    """

    _static = False

    def __init__(self, session: Session) -> None:
        self._session = session
        self._format: str | None = None
        self._schema: Any = None
        self._options: dict[str, str] = {}

    def format(self, source: str) -> Self:
        """What to read from: ``kafka``, ``log``, ``delta``, ``files``, ``generator``, a format of files (``json``, ``csv``,
        ``parquet``, ``avro``), or the name of a data source that ``spark.dataSource`` knows."""
        self._format = source.lower()
        return self

    def schema(self, schema: Any) -> Self:
        """The columns, as DDL (``"id STRING, ts TIMESTAMP"``) or StructType.

        For ``kafka`` and ``log`` they are those of the payload, whose format is JSON unless the option ``format``
        says otherwise; without a schema the columns are Spark's: key, value, topic, partition, offset, timestamp.
        """
        self._schema = schema
        return self

    def option(self, key: str, value: Any) -> Self:
        """One option."""
        self._options[key] = _text(value)
        return self

    def options(self, **options: Any) -> Self:
        """Several options."""
        for key, value in options.items():
            self.option(key, value)
        return self

    def load(
        self, path: str | os.PathLike[str] | None = None, format: str | None = None, schema: Any = None, **options: Any
    ) -> DataFrame:  # noqa: A002
        """The frame.

        Args:
            path: where the files or the log are, for sources that have a place.
            format: as `format`.
            schema: as `schema`.
            options: as `options`.
        """
        if format is not None:
            self.format(format)
        if schema is not None:
            self.schema(schema)
        self.options(**options)
        if path is not None:
            self._options["path"] = os.fspath(path)
        return self._session._table_frame(self._definition())

    def json(self, path: str, schema: Any = None, **options: Any) -> DataFrame:
        """Lines of JSON in the files of a directory, a file, or a pattern."""
        return self.load(path, "json", schema, **options)

    def csv(self, path: str, schema: Any = None, **options: Any) -> DataFrame:
        """CSV in the files of a directory, a file, or a pattern."""
        return self.load(path, "csv", schema, **options)

    def parquet(self, path: str, schema: Any = None, **options: Any) -> DataFrame:
        """Parquet files of a directory, a file, or a pattern. The schema must be given."""
        return self.load(path, "parquet", schema, **options)

    def table(self, tableName: str) -> DataFrame:
        """A temporary view of the session."""
        return self._session.table(tableName)

    def delta(self, path: str | os.PathLike[str], **options: Any) -> DataFrame:
        """A Delta table: its rows as they are, then those of each new version."""
        return self.load(path, "delta", None, **options)

    def _of_python(self, source: type) -> dict[str, Any]:
        """The definition of a data source that is written in Python."""
        made, schema = registration.opened(source, self._options, self._schema)
        return {
            "name": plain_name(type(made).name()),
            "columns": columns_of(schema),
            "options": {"connector": "python"},
            "source": registration.StreamSource(made, schema),
        }

    def _definition(self) -> dict[str, Any]:
        own = self._session._sources.get(self._format or "")
        if own is not None:
            return self._of_python(own)
        source, options = self._source()
        columns = columns_of(self._schema) if self._schema is not None else []
        if source in _RECORDS and columns and not any(key.lower() == "format" for key in options):
            options["format"] = "json"
        if source == "files" and not columns and not any(key.lower().startswith("schema") for key in options):
            raise AnalysisException(
                "the columns of files must be given: nothing is guessed from what happens to be there\n"
                '  = help: .schema("id STRING, ts TIMESTAMP")'
            )
        if source == "generator" and not columns:
            options.setdefault("shape", "user-events")
        name = options.get("topic") or options.get("subscribe") or _last_part(options.get("path", "")) or source
        return {
            "name": plain_name(name),
            "columns": columns,
            "options": {"connector": source, **options},
            "static": self._static,
        }

    def _source(self) -> tuple[str, dict[str, str]]:
        """The connector and its options, under names the engine has."""
        options = {_KAFKA_NAMES.get(key, key): value for key, value in self._options.items()}
        match self._format:
            case None:
                raise IllegalArgumentException('say what to read: .format("kafka"), .json(path), ..')
            case "rate" | "rate-micro-batch":
                raise AnalysisException(
                    'the source `rate` is not there\n  = help: use .format("generator").option("rows_per_second", 10), '
                    "with a schema, or with the option shape = user-events"
                )
            case "socket":
                raise AnalysisException("the source `socket` is not there: it cannot be read again after a failure")
            case "text":
                return "files", {"format": "raw", **options}
            case known if known in FILE_FORMATS:
                return "files", {"format": known, **options}
            case other:
                return other, options


class DataFrameReader(DataStreamReader):
    """Reads a table once: ``session.read.json("countries.json", schema)``. Joined with a stream, it enriches it."""

    _static = True

    def load(
        self,
        path: str | os.PathLike[str] | None = None,
        format: str | None = None,  # noqa: A002 - PySpark's name
        schema: Any = None,
        **options: Any,
    ) -> DataFrame:
        """As for streams. A table of ``delta`` that is joined with a stream is read again before an epoch when it has
        a new version; with the option ``versionAsOf`` it stays that one. Options ``storage.*`` are those of the object
        store."""
        if (format or self._format or "").lower() == "delta":
            return self.options(**options)._delta(path)
        own = self._session._sources.get((format or self._format or "").lower())
        if own is not None:
            options = {**options, **({"path": os.fspath(path)} if path is not None else {})}
            made, columns = registration.opened(own, self.options(**options)._options, schema or self._schema)
            return self._session._from_arrow(plain_name(type(made).name()), registration.all_rows(made, columns))
        return super().load(path, format, schema, **options)

    def delta(self, path: str | os.PathLike[str]) -> DataFrame:
        """A Delta table."""
        return self._delta(path)

    def _delta(self, path: str | os.PathLike[str] | None) -> DataFrame:
        from tidemill.batch import needed

        place = os.fspath(path) if path is not None else self._options.get("path", "")
        given = {key.lower(): value for key, value in self._options.items()}
        version = given.get("versionasof", given.get("version_as_of"))
        storage = {key[8:]: value for key, value in self._options.items() if key.startswith("storage.")}
        table = needed("deltalake").DeltaTable(
            place, version=int(version) if version is not None else None, storage_options=storage or None
        )
        name = plain_name(_last_part(place))
        if version is not None:
            return self._session._from_arrow(name, table.to_pyarrow_table())
        # the engine reads it: beside a stream it is read again when it has a new version
        empty = needed("pyarrow").schema(table.schema().to_arrow()).empty_table()
        options = {key: value for key, value in self._options.items() if key.startswith("storage.")}
        definition = {
            "name": name,
            "columns": columns_of(self._session._from_arrow(name, empty).schema),
            "options": {"connector": "delta", **options, "path": place},
            "static": True,
        }
        return self._session._table_frame(definition)


def columns_of(schema: Any) -> list[list[Any]]:
    """A schema given as DDL or StructType, as ``[[name, type in DDL, nullable], ..]``.

    Raises:
        ParseException: DDL that cannot be read.
        PySparkTypeError: neither.
    """
    from tidemill.types import StructType, to_ddl, wrong_type

    struct = StructType.fromDDL(schema) if isinstance(schema, str) else schema
    # a schema of stream_schemas knows its columns
    struct = getattr(struct, "columns", struct) if not isinstance(struct, StructType) else struct
    if isinstance(struct, str):
        struct = StructType.fromDDL(struct)
    if not isinstance(struct, StructType):
        raise wrong_type("schema", "DDL as a str, or a StructType", schema)
    return [[field.name, to_ddl(field.dataType), field.nullable] for field in struct.fields]


def plain_name(text: str) -> str:
    """Text as a name: ``user-events`` is ``user_events``."""
    name = re.sub(r"\W+", "_", text).strip("_").lower()
    return name if name and not name[0].isdigit() else f"t_{name}".rstrip("_")


def _last_part(path: str) -> str:
    parts = [part for part in re.split(r"[/\\]", path) if part and not set(part) & set("*?[")]
    return re.sub(r"\.\w+$", "", parts[-1]) if parts else ""


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return os.fspath(value) if isinstance(value, os.PathLike) else str(value)
