"""DataFrames: relations as the user builds them, in the JSON form of the engine's plan. PySpark's names and meanings.

Nothing is computed here, and rows are never touched. A frame over a stream is started with `writeStream`; a frame over
tables alone can also be collected.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tidemill import _lineage
from tidemill._joins import join_kind
from tidemill.column import FRAME, Column, ColumnOrName, Node, col, expr, name_parts, sort_key, to_column, to_columns
from tidemill.errors import (
    AnalysisException,
    IllegalArgumentException,
    PySparkAttributeError,
    PySparkValueError,
    refused_on_stream,
    wrong_type,
)
from tidemill.missing import DataFrameNaFunctions

if TYPE_CHECKING:
    import pandas
    import polars
    import pyarrow

    from tidemill.batch import DataFrameWriter
    from tidemill.grouped import GroupedData
    from tidemill.types import Row, StructType
    from tidemill.writer import DataStreamWriter


class DataFrame:
    """A relation: the rows of a stream or table, and what is to be done with them.

    Args:
        relation: the relation as JSON; tables in it by name.
        session: the session the frame belongs to.
        tables: definitions of the tables it reads, by name.
    """

    def __init__(self, relation: Node, session: Any, tables: Mapping[str, Any]) -> None:
        self._relation = relation
        self._session = session
        self._tables = dict(tables)

    def _over(self, relation: Node, *others: DataFrame) -> DataFrame:
        tables = dict(self._tables)
        for other in others:
            tables.update(other._tables)
        return DataFrame(relation, self._session, tables)

    def _node(self, kind: str, **parts: Any) -> DataFrame:
        return self._over({"node": kind, "input": self._relation, **parts})

    def _settled(self, column: ColumnOrName) -> Node:
        return _lineage.settled(to_column(column)._node, self._relation)

    def _settled_all(self, columns: Sequence[Any]) -> list[Node]:
        return [self._settled(column) for column in to_columns(columns)]

    # --- columns ---------------------------------------------------------------------------------

    def select(self, *cols: ColumnOrName | list[ColumnOrName]) -> DataFrame:
        """The columns given, by name or computed; ``"*"`` is all of them."""
        return self._node("project", list=self._settled_all(cols))

    def selectExpr(self, *expr: str | list[str]) -> DataFrame:
        """`select` with each column as SQL: ``selectExpr("k", "v * 2 AS w")``."""
        return self._node("project", list=[_expression(text)._node for text in _listed(expr)])

    def withColumn(self, colName: str, col: Column) -> DataFrame:
        """Adds a column at the end, or replaces the one of that name."""
        return self.withColumns({colName: col})

    def withColumns(self, *colsMap: Mapping[str, Column]) -> DataFrame:
        """Adds or replaces several columns; all see the frame as it was before."""
        if len(colsMap) != 1 or not isinstance(colsMap[0], Mapping):
            raise wrong_type("colsMap", "one dict of names and columns", colsMap[0] if colsMap else None)
        for column in colsMap[0].values():
            if not isinstance(column, Column):
                raise wrong_type("col", "a Column; wrap a value in F.lit(..)", column)
        columns = [[name, self._settled(column)] for name, column in colsMap[0].items()]
        return self._node("with_columns", columns=columns)

    def withColumnRenamed(self, existing: str, new: str) -> DataFrame:
        """Renames a column; nothing happens when there is none of that name."""
        return self.withColumnsRenamed({existing: new})

    def withColumnsRenamed(self, colsMap: Mapping[str, str]) -> DataFrame:
        """Renames several columns, old name to new."""
        if not isinstance(colsMap, Mapping):
            raise wrong_type("colsMap", "a dict of old and new names", colsMap)
        return self._node("rename", columns=[[old, new] for old, new in colsMap.items()])

    def drop(self, *cols: ColumnOrName) -> DataFrame:
        """Leaves columns out; names that are not there are passed over."""
        frame, names = self, []
        for column in cols:
            if isinstance(column, str):
                names.append(column)
                continue
            parts = self._settled(column).get("name", [])
            if len(parts) == 1:
                names.append(parts[0])
            elif len(parts) == 2:
                frame = frame._without(parts[0], parts[1])
            else:
                raise wrong_type("cols", "columns of the frame or their names", column)
        return frame._node("drop", columns=names) if names else frame

    def _without(self, qualifier: str, name: str) -> DataFrame:
        """All columns but one of one side of a join."""
        stars = [
            {"node": "star", "qualifier": [side], "except": [name] if side == qualifier else []}
            for side in _lineage.qualifiers_in_order(self._relation)
        ]
        return self._node("project", list=stars)

    def toDF(self, *cols: str) -> DataFrame:
        """The same columns under new names, one for each."""
        return self._node("to_columns", names=_listed(cols))

    def alias(self, alias: str) -> DataFrame:
        """The frame under a name, so that its columns are ``"name.column"``."""
        if not isinstance(alias, str):
            raise wrong_type("alias", "a str", alias)
        return self._node("alias", name=alias)

    def __getitem__(self, item: Any) -> Any:
        match item:
            case str():
                return self._column(item)
            case Column():
                return self.filter(item)
            case list() | tuple():
                return self.select(*item)
            case bool():
                raise wrong_type("item", "a name, position, Column or list of them", item)
            case int():
                return self._column(self.columns[item])
        raise wrong_type("item", "a name, position, Column or list of them", item)

    def __getattr__(self, name: str) -> Column:
        if name.startswith("_"):
            raise AttributeError(name)
        columns = self.columns
        if name not in columns:
            near = difflib.get_close_matches(name, [*columns, *_public(DataFrame)], 1)
            advice = f"did you mean `{near[0]}`?" if near else f"columns: {', '.join(columns)}"
            raise PySparkAttributeError(
                f"a DataFrame has no method `{name}`, and this one no such column\n  = help: {advice}",
                "ATTRIBUTE_NOT_SUPPORTED",
                {"attr_name": name},
            )
        return self._column(name)

    def _column(self, name: str) -> Column:
        column = col(name)
        if column._node["node"] == "star":
            return column
        return Column({**column._node, FRAME: self._relation})

    def __dir__(self) -> list[str]:
        try:
            return sorted({*super().__dir__(), *self.columns})
        except Exception:  # noqa: BLE001 - completion never fails
            return list(super().__dir__())

    # --- rows ------------------------------------------------------------------------------------

    def filter(self, condition: Column | str) -> DataFrame:
        """The rows for which the condition is true: a column, or SQL as text."""
        if isinstance(condition, str):
            return self._node("filter", condition=expr(condition)._node)
        if not isinstance(condition, Column):
            raise wrong_type("condition", "a Column or SQL as a str", condition)
        return self._node("filter", condition=self._settled(condition))

    where = filter

    def distinct(self) -> DataFrame:
        """Each row once: the first of those that are equal in every column."""
        return self._node("deduplicate", columns=[])

    def dropDuplicates(self, subset: list[str] | None = None) -> DataFrame:
        """The first row of each key. On a stream the keys are kept for good, unless an event-time column with a
        watermark is among them."""
        return self._node("deduplicate", columns=_subset(subset))

    drop_duplicates = dropDuplicates

    def dropDuplicatesWithinWatermark(self, subset: list[str] | None = None) -> DataFrame:
        """The first row of each key; a key is kept until the watermark passes its first row's time."""
        return self._node("deduplicate", columns=_subset(subset), within_watermark=True)

    def withWatermark(self, eventTime: str, delayThreshold: str) -> DataFrame:
        """Says which column is the event time, and how late rows may come (``"10 minutes"``).

        Source: Spark, "Handling Late Data and Watermarking".
        """
        if not eventTime or not isinstance(eventTime, str):
            raise wrong_type("eventTime", "the name of a column", eventTime)
        if not delayThreshold or not isinstance(delayThreshold, str):
            raise wrong_type("delayThreshold", "a time such as '10 minutes'", delayThreshold)
        return self._node("watermark", column=".".join(name_parts(eventTime)), delay=delayThreshold)

    def orderBy(self, *cols: Any, **kwargs: Any) -> DataFrame:
        """Sorts by columns, ascending unless ``ascending=False`` or a column's own ``desc()`` says otherwise. A stream
        can be sorted only as the whole result of an aggregation, in output mode complete."""
        keys = [sort_key(column) for column in to_columns(cols)]
        if not keys:
            raise PySparkValueError("orderBy needs at least one column", "CANNOT_BE_EMPTY")
        ascending = kwargs.get("ascending", True)
        directions = ascending if isinstance(ascending, (list, tuple)) else [ascending] * len(keys)
        if len(directions) != len(keys):
            raise IllegalArgumentException(f"ascending has {len(directions)} entries for {len(keys)} columns")
        settled = []
        for key, upwards in zip(keys, directions, strict=True):
            by = _lineage.settled(key["by"], self._relation)
            settled.append({**key, "by": by, **({} if upwards else {"descending": True})})
        return self._node("sort", keys=settled)

    sort = orderBy

    def limit(self, num: int) -> DataFrame:
        """At most `num` rows."""
        return self._node("limit", count=num)

    def offset(self, num: int) -> DataFrame:
        """Leaves out the first `num` rows. Streams refuse it."""
        return self._node("limit", offset=num)

    @property
    def na(self) -> DataFrameNaFunctions:
        """What to do about NULLs: ``fill``, ``drop``, ``replace``."""
        return DataFrameNaFunctions(self)

    def fillna(self, value: Any, subset: str | Sequence[str] | None = None) -> DataFrame:
        """Puts a value where NULL is; a dict gives each column its own."""
        return self.na.fill(value, subset)

    def dropna(
        self, how: str = "any", thresh: int | None = None, subset: str | Sequence[str] | None = None
    ) -> DataFrame:
        """Leaves out rows with NULLs: in any of the columns, in all, or with fewer than `thresh` values."""
        return self.na.drop(how, thresh, subset)

    def replace(self, to_replace: Any, value: Any = ..., subset: str | Sequence[str] | None = None) -> DataFrame:
        """Puts other values in the place of some."""
        return self.na.replace(to_replace, value, subset)

    # --- groups ----------------------------------------------------------------------------------

    def groupBy(self, *cols: Any) -> GroupedData:
        """Groups rows by columns, ``F.window(..)`` among them, for aggregation."""
        return self._grouped(cols, "plain")

    groupby = groupBy

    def rollup(self, *cols: Any) -> GroupedData:
        """Groups by all columns, then by all but the last, and so on to none."""
        return self._grouped(cols, "rollup")

    def cube(self, *cols: Any) -> GroupedData:
        """Groups by every set of the columns."""
        return self._grouped(cols, "cube")

    def groupingSets(self, groupingSets: Sequence[Sequence[Any]], *cols: Any) -> GroupedData:
        """Groups by each of the given sets of the columns `cols`.

        Args:
            groupingSets: the sets, each a list of columns; an empty one is the total.
            cols: the columns of the result.
        """
        groups = self._settled_all(list(cols))
        sets = [[_place(member, groups) for member in self._settled_all(list(given))] for given in groupingSets]
        return self._grouped(cols, {"sets": sets})

    def _grouped(self, cols: Sequence[Any], grouping: str | dict[str, Any]) -> GroupedData:
        from tidemill.functions import lit
        from tidemill.grouped import GroupedData

        given = [lit(column) if isinstance(column, int) else column for column in _listed(cols)]
        return GroupedData(self, self._settled_all(given) if given else [], grouping)

    def agg(self, *exprs: Any) -> DataFrame:
        """Aggregates over all rows: columns, or a dict such as ``{"v": "sum"}``."""
        return self.groupBy().agg(*exprs)

    def mapInPandas(
        self, func: Callable[[Any], Any], schema: Any, barrier: bool = False, profile: Any = None
    ) -> DataFrame:
        """Whole batches through a function of pandas DataFrames: an iterator of them in, an iterator out.

        Raises:
            PySparkImportError: pandas or pyarrow is not installed.
        """
        from tidemill.udf import batches

        return self._mapped(batches.in_pandas(func, schema))

    def mapInArrow(
        self, func: Callable[[Any], Any], schema: Any, barrier: bool = False, profile: Any = None
    ) -> DataFrame:
        """Whole batches through a function of ``pyarrow.RecordBatch``: an iterator of them in, an iterator out.

        Raises:
            PySparkImportError: pyarrow is not installed.
        """
        from tidemill.udf import batches

        return self._mapped(batches.in_arrow(func, schema))

    def _mapped(self, described: Any) -> DataFrame:
        from tidemill.udf.named import FunctionName

        return self._node("map_rows", function=FunctionName(described.shown, described), output=described.output)

    # --- several frames --------------------------------------------------------------------------

    def join(
        self,
        other: DataFrame,
        on: str | list[str] | Column | list[Column] | None = None,
        how: str | None = None,
    ) -> DataFrame:
        """Joins with another frame.

        Args:
            other: the right side.
            on: names both sides have, or a condition. Two streams are joined by equal keys, and by a bound on their
                times so that state can be let go.
            how: inner (default), left, right, full, left_semi, left_anti or cross, in any of Spark's spellings.
        """
        if not isinstance(other, DataFrame):
            raise wrong_type("other", "a DataFrame", other)
        kind = join_kind(how)
        left, right = _lineage.sides(self._relation, other._relation)
        relation: Node = {"node": "join", "left": left, "right": right, "kind": kind}
        given = _listed([on]) if on is not None else []
        if given and all(isinstance(name, str) for name in given):
            relation["using"] = given
        elif given:
            conditions = [to_column(condition) for condition in given]
            whole = conditions[0]
            for condition in conditions[1:]:
                whole = whole & condition
            relation["condition"] = _lineage.settled(whole._node, left, right)
        elif how is None:
            relation["kind"] = "cross"
        return self._over(relation, other)

    def crossJoin(self, other: DataFrame) -> DataFrame:
        """Every row with every row of the other."""
        return self.join(other, how="cross")

    def union(self, other: DataFrame) -> DataFrame:
        """The rows of both, columns matched by position; nothing is made distinct."""
        return self._over({"node": "union", "inputs": [self._relation, _frame(other)._relation]}, other)

    unionAll = union

    def unionByName(self, other: DataFrame, allowMissingColumns: bool = False) -> DataFrame:
        """The rows of both, columns matched by name; with `allowMissingColumns`, NULL where one has none."""
        inputs = [self._relation, _frame(other)._relation]
        relation = {"node": "union", "inputs": inputs, "by_name": True, "allow_missing_columns": allowMissingColumns}
        return self._over(relation, other)

    def intersect(self, other: DataFrame) -> DataFrame:
        """The rows that are in both. Streams refuse it."""
        return self._set_operation("INTERSECT", other)

    def intersectAll(self, other: DataFrame) -> DataFrame:
        """The rows that are in both, as often as in both. Streams refuse it."""
        return self._set_operation("INTERSECT ALL", other)

    def subtract(self, other: DataFrame) -> DataFrame:
        """The rows that are not in the other. Streams refuse it."""
        return self._set_operation("EXCEPT", other)

    def exceptAll(self, other: DataFrame) -> DataFrame:
        """The rows that are not in the other, as often as they are more. Streams refuse it."""
        return self._set_operation("EXCEPT ALL", other)

    def _set_operation(self, operation: str, other: DataFrame) -> DataFrame:
        parts = {"left": self._relation, "right": _frame(other)._relation, "operation": operation}
        return self._over({"node": "set_operation", **parts}, other)

    # --- hints and helpers -----------------------------------------------------------------------

    def transform(self, func: Callable[..., DataFrame], *args: Any, **kwargs: Any) -> DataFrame:
        """``func(self, ..)``, so that own steps chain like the built-in ones."""
        result = func(self, *args, **kwargs)
        if not isinstance(result, DataFrame):
            raise wrong_type("func", "a function that gives a DataFrame", result)
        return result

    def hint(self, name: str, *parameters: Any) -> DataFrame:
        """Accepted as in Spark; the engine chooses by itself."""
        return self

    def repartition(self, *args: Any) -> DataFrame:
        """Accepted as in Spark; the engine distributes rows by itself."""
        return self

    def coalesce(self, numPartitions: int) -> DataFrame:
        """Accepted as in Spark; the engine distributes rows by itself."""
        return self

    def persist(self, *args: Any) -> DataFrame:
        """Accepted as in Spark; rows that are there are in memory anyway."""
        return self

    cache = persist

    def unpersist(self, blocking: bool = False) -> DataFrame:
        """Accepted as in Spark; rows go when nobody has the frame any more."""
        return self

    def createOrReplaceTempView(self, name: str) -> None:
        """Gives the frame a name that SQL of the session can use."""
        self._session._add_view(name, self)

    createTempView = createOrReplaceTempView

    @property
    def sparkSession(self) -> Any:
        """The session the frame belongs to."""
        return self._session

    # --- what it is ------------------------------------------------------------------------------

    @property
    def isStreaming(self) -> bool:
        """True when a stream is read somewhere in it."""
        from tidemill import _runtime

        return _runtime.is_streaming(self)

    @property
    def schema(self) -> StructType:
        """Its columns.

        Raises:
            AnalysisException: the frame is not valid.
        """
        from tidemill import _runtime

        return _runtime.schema_of(self)

    @property
    def columns(self) -> list[str]:
        """Names of its columns."""
        return self.schema.names

    @property
    def dtypes(self) -> list[tuple[str, str]]:
        """Names and types of its columns."""
        return [(field.name, field.dataType.simpleString()) for field in self.schema]

    def printSchema(self, level: int | None = None) -> None:
        """Prints its columns as a tree."""
        print(self.schema.treeString())

    def explain(self, extended: Any = None, mode: str | None = None) -> None:
        """Prints the plan."""
        from tidemill import _runtime

        print(_runtime.explain(self))

    @property
    def writeStream(self) -> DataStreamWriter:
        """Starts a query that writes its rows as they come."""
        from tidemill.writer import DataStreamWriter

        if not self.isStreaming:
            raise AnalysisException(
                "writeStream is for frames over a stream; this one reads tables alone\n  = help: use write",
                "WRITE_STREAM_NOT_ALLOWED",
            )
        return DataStreamWriter(self)

    @property
    def write(self) -> DataFrameWriter:
        """Writes its rows once."""
        return self._batch("write", "use writeStream").DataFrameWriter(self)

    def collect(self) -> list[Row]:
        """All rows."""
        return self._batch("collect()").collect(self)

    def count(self) -> int:
        """How many rows there are."""
        return self._batch("count()").count(self)

    def show(self, n: int = 20, truncate: bool | int = True, vertical: bool = False) -> None:
        """Prints the first `n` rows as a table."""
        self._batch("show()").show(self, n, truncate, vertical)

    def take(self, num: int) -> list[Row]:
        """The first `num` rows."""
        return self._batch("take()").collect(self.limit(num))

    def head(self, n: int | None = None) -> Any:
        """The first row, or None; with `n`, a list of the first `n`."""
        rows = self._batch("head()").collect(self.limit(n or 1))
        return rows if n is not None else next(iter(rows), None)

    def first(self) -> Row | None:
        """The first row, or None."""
        return self.head()

    def isEmpty(self) -> bool:
        """True when there is no row."""
        return self.head() is None

    def toLocalIterator(self, prefetchPartitions: bool = False) -> Any:
        """All rows, one after the other."""
        return iter(self._batch("toLocalIterator()").collect(self))

    def toArrow(self) -> pyarrow.Table:
        """All rows as an Arrow table, not copied."""
        return self._batch("toArrow()").to_arrow(self)

    def toPandas(self) -> pandas.DataFrame:
        """All rows as a pandas frame."""
        return self._batch("toPandas()").to_pandas(self)

    def toPolars(self) -> polars.DataFrame:
        """All rows as a Polars frame, not copied where Polars can take them."""
        return self._batch("toPolars()").to_polars(self)

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """All rows as an Arrow C stream, so that other libraries take the frame as it is."""
        return self._batch("__arrow_c_stream__()").rows_of(self).__arrow_c_stream__(requested_schema)

    def _batch(self, what: str, instead: str = "start it with writeStream, or use foreachBatch") -> Any:
        """The functions of frames that are computed at once."""
        from tidemill import _runtime

        if _runtime.is_streaming(self):
            raise refused_on_stream(what, instead)
        from tidemill import batch

        return batch

    def __repr__(self) -> str:
        try:
            columns = ", ".join(f"{name}: {kind}" for name, kind in self.dtypes)
        except Exception as error:  # noqa: BLE001 - a frame that is not valid can still be shown
            columns = f"not valid: {str(error).splitlines()[0]}"
        return f"DataFrame[{columns}]"


def _listed(values: Sequence[Any]) -> list[Any]:
    given = list(values)
    if len(given) == 1 and isinstance(given[0], (list, tuple)):
        return list(given[0])
    return given


def _place(member: Node, groups: list[Node]) -> int:
    if member not in groups:
        raise AnalysisException("a column of a grouping set is not among the columns grouped by", "MISSING_AGGREGATION")
    return groups.index(member)


def _expression(text: str) -> Column:
    if not isinstance(text, str):
        raise wrong_type("expr", "SQL as a str", text)
    return expr(text)


def _subset(subset: list[str] | None) -> list[str]:
    if subset is None:
        return []
    if isinstance(subset, str) or not isinstance(subset, (list, tuple)):
        raise wrong_type("subset", "a list of names", subset)
    return list(subset)


def _frame(other: Any) -> DataFrame:
    if not isinstance(other, DataFrame):
        raise wrong_type("other", "a DataFrame", other)
    return other


def _public(kind: type) -> list[str]:
    return [name for name in vars(kind) if not name.startswith("_")]
