"""Grouped rows: what `DataFrame.groupBy` gives, and the aggregates over them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tidemill.column import Column, Node, call, col, lit, to_column
from tidemill.errors import AnalysisException, refused_on_stream, wrong_type

if TYPE_CHECKING:
    from tidemill.dataframe import DataFrame

_NUMBERS = ("tinyint", "smallint", "int", "bigint", "float", "double", "decimal")


class GroupedData:
    """Rows in groups. Every method gives one row a group: the grouping columns, then the aggregates."""

    def __init__(self, frame: DataFrame, groups: list[Node], grouping: str | dict[str, Any]) -> None:
        self._frame = frame
        self._groups = groups
        self._grouping = grouping

    def agg(self, *exprs: Column | Mapping[str, str]) -> DataFrame:
        """Aggregates given as columns (``F.sum("v").alias("s")``), or as one dict (``{"v": "sum", "*": "count"}``)."""
        if not exprs:
            raise wrong_type("exprs", "at least one aggregate", None)
        given: list[Any] = list(exprs)
        if len(given) == 1 and isinstance(given[0], Mapping):
            given = [_named(function, column) for column, function in _in_order(given[0])]
        elif len(given) == 1 and isinstance(given[0], (list, tuple)):
            given = list(given[0])
        for column in given:
            if not isinstance(column, Column):
                raise wrong_type("exprs", "aggregates as Columns, or one dict", column)
        return self._aggregated(given)

    def count(self) -> DataFrame:
        """The number of rows of each group, as column ``count``."""
        return self._aggregated([call("count", lit(1)).alias("count")])

    def sum(self, *cols: str) -> DataFrame:
        """The sum of columns; of every numeric one when none is named."""
        return self._each("sum", cols)

    def avg(self, *cols: str) -> DataFrame:
        """The mean of columns; of every numeric one when none is named."""
        return self._each("avg", cols)

    mean = avg

    def min(self, *cols: str) -> DataFrame:
        """The least value of columns; of every numeric one when none is named."""
        return self._each("min", cols)

    def max(self, *cols: str) -> DataFrame:
        """The greatest value of columns; of every numeric one when none is named."""
        return self._each("max", cols)

    def pivot(self, pivot_col: str, values: list[Any] | None = None) -> GroupedData:
        """Values as columns. Streams refuse it, as in Spark; tables do not have it yet."""
        instead = "aggregate each value by F.sum(F.when(..))"
        if self._frame.isStreaming:
            raise refused_on_stream("pivot()", instead)
        raise AnalysisException(
            f"pivot() is not supported by this version of Tidemill\n  = help: {instead}", "UNSUPPORTED_FEATURE"
        )

    def _each(self, function: str, cols: tuple[str, ...]) -> DataFrame:
        names = list(cols) or [
            field.name for field in self._frame.schema if field.dataType.simpleString().startswith(_NUMBERS)
        ]
        return self._aggregated([_named(function, name) for name in names])

    def _aggregated(self, columns: list[Column]) -> DataFrame:
        return self._frame._node(
            "aggregate",
            groups=self._groups,
            grouping=self._grouping,
            list=[self._frame._settled(column) for column in columns],
            keep_groups=True,
        )


_ONE_NAME = {"mean": "avg", "average": "avg", "std": "stddev", "size": "count"}


def _named(function: str, column: str) -> Column:
    function = _ONE_NAME.get(function.lower(), function)
    if column == "*":
        return call(function, col("*"))
    return call(function, to_column(column))


def _in_order(functions: Mapping[str, str]) -> list[tuple[str, str]]:
    """The entries of a dict in the order in which Spark gives their columns: that of a small Java hash map."""
    entries = list(functions.items())
    if len(entries) > 4:
        return entries
    return sorted(entries, key=lambda entry: _bucket(entry[0]))


def _bucket(text: str) -> int:
    code = 0
    units = text.encode("utf-16-be")
    for high, low in zip(units[::2], units[1::2], strict=True):
        code = (31 * code + (high << 8 | low)) & 0xFFFFFFFF
    return (code ^ code >> 16) & 15
