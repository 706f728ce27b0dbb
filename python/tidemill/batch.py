"""Frames that are computed at once: the batches of `foreachBatch`, tables in memory, and what is built on them.

Rows stay in Arrow until they are asked for as Python values. Types are PySpark's: a TIMESTAMP is a naive datetime in
UTC, a STRUCT a Row, a BINARY a bytearray.
"""

from __future__ import annotations

import json
import os
import uuid
from typing import TYPE_CHECKING, Any

from tidemill import _runtime, _tidemill
from tidemill.dataframe import DataFrame
from tidemill.errors import AnalysisException, IllegalArgumentException, translated
from tidemill.reader import _text
from tidemill.types import Row

if TYPE_CHECKING:
    import pandas
    import polars
    import pyarrow
    from typing_extensions import Self

_MODES = {
    "append": "append",
    "overwrite": "overwrite",
    "ignore": "ignore",
    "error": "error",
    "errorifexists": "error",
    "default": "error",
}
"""Spark's save modes."""
_STORAGE = "storage."


class BatchOrigin:
    """Which batch of which query rows come from, and what has been written of it."""

    def __init__(self, query: str, sink: str, incarnation: str, batch_id: int) -> None:
        self.query = query
        self.sink = sink
        self.incarnation = incarnation
        self.batch_id = batch_id
        self._writes: dict[str, int] = {}

    def next_writer(self, path: str) -> tuple[str, str, str]:
        """Who makes the next write of this batch to `path`: query, sink, incarnation. A second write is another
        writer's, so that it is not taken for a repetition of the first; a function that writes in the same order each
        time is repeated write by write."""
        number = self._writes[path] = self._writes.get(path, 0) + 1
        if number == 1:
            return self.query, self.sink, self.incarnation
        # files are told apart by how the incarnation begins
        return self.query, f"{self.sink}.{number}", f"{number}-{self.incarnation}"


class BatchDataFrame(DataFrame):
    """The rows of one epoch, as `foreachBatch` gives them: a frame over rows in memory, which can be used any number
    of times. Hands its rows over as Arrow without copying them."""

    isStreaming = False


def batch_frame(session: Any, rows: Any, batch_id: int, writer: tuple[str, str, str]) -> BatchDataFrame:
    """The frame of an epoch's rows; `writer` is the query, the sink and the incarnation of the checkpoint."""
    key = session._key("batch")
    definition = {"name": "batch", "arrow": rows, "static": True, "batch": BatchOrigin(*writer, batch_id)}
    return BatchDataFrame({"node": "table", "name": [key]}, session, {key: definition})


def rows_of(frame: DataFrame) -> Any:
    """The frame's rows: an object with ``__arrow_c_stream__``. Rows that are there as they are are not copied.

    Raises:
        AnalysisException: the frame is not valid, or reads a stream.
    """
    if frame._relation.get("node") == "table":
        definition = frame._tables.get(".".join(frame._relation["name"]), {})
        if definition.get("batch") is not None:
            return definition["arrow"]
    return _runtime.evaluate(frame)


def collect(frame: DataFrame) -> list[Row]:
    """All rows as Python values."""
    with translated():
        return _tidemill.to_rows(rows_of(frame), Row.of)


def count(frame: DataFrame) -> int:
    """How many rows there are."""
    return len(rows_of(frame))


def show(frame: DataFrame, n: int = 20, truncate: bool | int = True, vertical: bool = False) -> None:
    """Prints the first `n` rows as a table; values are cut to 20 letters, or to `truncate`, or not at all."""
    if vertical:
        for number, row in enumerate(collect(frame.limit(n))):
            print(f"-RECORD {number}" + "-" * 24)
            width = max((len(name) for name in row.asDict()), default=0)
            for name, value in row.asDict().items():
                print(f" {name:<{width}} | {value}")
        return
    letters = (20 if truncate else None) if isinstance(truncate, bool) else (int(truncate) or None)
    with translated():
        print(_tidemill.show(rows_of(frame), n, letters))


def to_arrow(frame: DataFrame) -> pyarrow.Table:
    """All rows as a pyarrow Table, not copied. TIMESTAMP is ``timestamp[us, tz=UTC]``."""
    pyarrow = needed("pyarrow")
    return pyarrow.table(rows_of(frame))


def to_pandas(frame: DataFrame) -> pandas.DataFrame:
    """All rows as a pandas frame. A TIMESTAMP is a naive ``datetime64`` in UTC, as `collect` gives it."""
    needed("pandas")
    pyarrow = needed("pyarrow")
    table = to_arrow(frame)
    for position, field in enumerate(table.schema):
        if pyarrow.types.is_timestamp(field.type) and field.type.tz is not None:
            naive = table.column(position).cast(pyarrow.timestamp("us"))
            table = table.set_column(position, field.name, naive)
    return table.to_pandas()


def to_polars(frame: DataFrame) -> polars.DataFrame:
    """All rows as a Polars frame; numbers are not copied."""
    return needed("polars").DataFrame(rows_of(frame))


def needed(name: str) -> Any:
    """The package `name`.

    Raises:
        AnalysisException: it is not installed.
    """
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError:
        raise AnalysisException(
            f"this needs the package {name}, which is not installed\n  = help: pip install {name}",
            "PACKAGE_NOT_INSTALLED",
            {"package_name": name},
        ) from None


class DataFrameWriter:
    """Writes rows once: ``batch.write.format("delta").mode("append").save(path)``.

    In a `foreachBatch` function a write remembers the batch: a Delta table in its transaction log (application id
    ``tidemill/<query>/<sink>/<incarnation>``, version = batch id), a directory of files in its manifest. A batch that
    comes again after a failure is then not written again. Spark's options ``txnAppId`` and ``txnVersion`` set the two
    by hand; ``txnAppId`` with an empty value switches it off.
    """

    def __init__(self, frame: DataFrame) -> None:
        self._frame = frame
        self._format = "parquet"
        self._mode = "error"
        self._partition_by: list[str] = []
        self._options: dict[str, str] = {}

    def format(self, source: str) -> Self:
        """``delta``, ``parquet`` (the default) or ``json``."""
        self._format = source.lower()
        return self

    def mode(self, saveMode: str | None) -> Self:
        """What to do with rows that are there: ``append``, ``overwrite``, ``ignore``, or ``error`` (the default)."""
        if saveMode is None:
            return self
        if str(saveMode).lower() not in _MODES:
            raise IllegalArgumentException(
                f"there is no save mode `{saveMode}`\n  = help: modes: append, overwrite, ignore, error"
            )
        self._mode = _MODES[str(saveMode).lower()]
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

    def partitionBy(self, *cols: str | list[str]) -> Self:
        """Columns whose values choose the directory of a Delta table's files."""
        self._partition_by = (
            [*cols[0]] if len(cols) == 1 and not isinstance(cols[0], str) else [str(col) for col in cols]
        )
        return self

    partition_by = partitionBy

    def save(
        self,
        path: str | os.PathLike[str] | None = None,
        format: str | None = None,  # noqa: A002 - PySpark's name
        mode: str | None = None,
        partitionBy: str | list[str] | None = None,
        **options: Any,
    ) -> None:
        """Writes the rows.

        Args:
            path: the directory, or for Delta tables a URL (``abfss://``, ``s3://``).
            format: as `format`.
            mode: as `mode`.
            partitionBy: as `partitionBy`.
            options: as `options`.

        Raises:
            AnalysisException: something is there already (mode ``error``), or the rows do not fit it.
            SparkRuntimeException: it cannot be written.
        """
        if format is not None:
            self.format(format)
        self.mode(mode)
        if partitionBy is not None:
            self.partitionBy(*([partitionBy] if isinstance(partitionBy, str) else partitionBy))
        self.options(**options)
        path = os.fspath(path) if path is not None else self._options.pop("path", None)
        if not path:
            raise IllegalArgumentException('say where to write: .save("a/directory")')
        if self._format == "delta":
            self._save_delta(path)
        elif self._format in ("parquet", "json", "csv", "text", "orc", "avro"):
            self._save_files(path)
        else:
            raise AnalysisException(
                f"rows cannot be written to `{self._format}`\n  = help: formats: delta, parquet, json",
                "DATA_SOURCE_NOT_FOUND",
            )

    def parquet(self, path: str, mode: str | None = None, **options: Any) -> None:
        """Parquet files."""
        self.save(path, "parquet", mode, **options)

    def json(self, path: str, mode: str | None = None, **options: Any) -> None:
        """Files with a line of JSON a row."""
        self.save(path, "json", mode, **options)

    def csv(self, path: str, mode: str | None = None, **options: Any) -> None:
        """Not there yet; refused."""
        self.save(path, "csv", mode, **options)

    def saveAsTable(self, name: str, *args: Any, **options: Any) -> None:
        """Not there: tables are named by their paths.

        Raises:
            AnalysisException: always.
        """
        raise AnalysisException(f"there is no catalog for the table `{name}`\n  = help: use .save(path)")

    def _save_delta(self, path: str) -> None:
        given = {key.lower(): value for key, value in self._options.items()}
        storage = {key[len(_STORAGE) :]: value for key, value in self._options.items() if key.startswith(_STORAGE)}
        known = ("txnappid", "txnversion")
        unknown = [key for key in self._options if not key.startswith(_STORAGE) and key.lower() not in known]
        if unknown:
            raise AnalysisException(
                f"a write to a Delta table has no option `{unknown[0]}`\n"
                "  = help: options: txnAppId, txnVersion, and storage.* for the object store"
            )
        write = {
            "path": path,
            "mode": self._mode,
            "partition_by": self._partition_by,
            "storage": storage,
            "transaction": self._transaction(path, given),
        }
        with translated():
            self._engine().write_delta(rows_of(self._frame), json.dumps(write))

    def _transaction(self, path: str, given: dict[str, str]) -> list[Any] | None:
        """Application id and version."""
        if "txnappid" in given or "txnversion" in given:
            if not given.get("txnappid"):
                return None
            if not given.get("txnversion", "").isdigit():
                raise IllegalArgumentException("txnAppId goes with txnVersion, a whole number")
            return [given["txnappid"], int(given["txnversion"])]
        origin = self._origin()
        if origin is None:
            return None
        return ["tidemill/" + "/".join(origin.next_writer(path)), origin.batch_id]

    def _save_files(self, path: str) -> None:
        if self._partition_by:
            raise AnalysisException("partitionBy does not fit files yet\n  = help: it is there for delta")
        origin = self._origin()
        writer = origin.next_writer(path) if origin is not None else ("batch", "write", str(uuid.uuid4()))
        epoch = origin.batch_id if origin is not None else 0
        options = {"format": self._format, **self._options}
        write = {"path": path, "mode": self._mode, "options": options, "writer": writer, "epoch": epoch}
        with translated():
            self._engine().write_files(rows_of(self._frame), json.dumps(write))

    def _origin(self) -> BatchOrigin | None:
        origins = [table.get("batch") for table in _runtime.used_tables(self._frame).values()]
        return next((origin for origin in origins if origin is not None), None)

    def _engine(self) -> Any:
        return _runtime.engine_of(self._frame)
