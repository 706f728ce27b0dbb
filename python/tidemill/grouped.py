"""Grouped rows: what `DataFrame.groupBy` gives, and the aggregates over them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from tidemill.column import Column, Node, call, col, lit, to_column
from tidemill.errors import AnalysisException, PySparkValueError, refused_on_stream, wrong_type
from tidemill.state.group_state import TIME_MODES, GroupFunction, GroupState
from tidemill.state.processor import StatefulProcessor
from tidemill.state.runner import Described
from tidemill.types import StructType
from tidemill.udf.arrays import expect_pandas
from tidemill.udf.named import FunctionName

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

    def transformWithState(
        self,
        statefulProcessor: StatefulProcessor,
        outputStructType: StructType | str,
        outputMode: str,
        timeMode: str,
        initialState: GroupedData | None = None,
        eventTimeColumnName: str = "",
    ) -> DataFrame:
        """Keeps state of any kind by key, and gives what the processor yields, as Rows.

        Args:
            statefulProcessor: see `tidemill.state.StatefulProcessor`; it takes and gives Rows.
            outputStructType: the columns that come out.
            outputMode: what the rows mean: ``append`` or ``update``.
            timeMode: what timers go by: ``none``, ``processingTime`` or ``eventTime``. A TTL needs ``processingTime``.
            initialState: rows to begin with, grouped by the same columns; they do not stream.
            eventTimeColumnName: the column that comes out as event time, so that windows can follow.

        Raises:
            AnalysisException: when the frame is used: a mode that is none, a column that is not there.
        """
        parts = (statefulProcessor, outputStructType, outputMode, timeMode, initialState, eventTimeColumnName)
        return self._with_state(*parts, takes_arrow=False)

    def transformWithStateInPandas(
        self,
        statefulProcessor: StatefulProcessor,
        outputStructType: StructType | str,
        outputMode: str,
        timeMode: str,
        initialState: GroupedData | None = None,
        eventTimeColumnName: str = "",
    ) -> DataFrame:
        """`transformWithState` with a processor that takes and gives pandas DataFrames.

        Raises:
            PySparkImportError: pandas or pyarrow is not installed.
        """
        expect_pandas()
        parts = (statefulProcessor, outputStructType, outputMode, timeMode, initialState, eventTimeColumnName)
        return self._with_state(*parts, takes_arrow=True)

    def applyInPandasWithState(
        self,
        func: Callable[[Any, Iterator[Any], GroupState], Iterator[Any]],
        outputStructType: StructType | str,
        stateStructType: StructType | str,
        outputMode: str,
        timeoutConf: str,
    ) -> DataFrame:
        """Keeps one value and one timeout by key; `transformWithState` can do more.

        Args:
            func: called with the key (a tuple), an iterator of pandas DataFrames and a `tidemill.state.GroupState`; an
                iterator of pandas DataFrames comes back. When a timeout has passed the frame has no rows.
            outputStructType: the columns that come out.
            stateStructType: the fields of the state.
            outputMode: what the rows mean: ``append`` or ``update``; that of the query.
            timeoutConf: ``NoTimeout``, ``ProcessingTimeTimeout`` or ``EventTimeTimeout``.

        Raises:
            PySparkImportError: pandas or pyarrow is not installed.
        """
        expect_pandas()
        if not callable(func):
            raise wrong_type("func", "a function", func)
        if timeoutConf not in TIME_MODES:
            raise PySparkValueError(
                f"there is no timeoutConf '{timeoutConf}'\n  = help: {', '.join(TIME_MODES)}", "UNKNOWN_VALUE_FOR"
            )
        columns = self._frame.columns
        has_watermark = _has_watermark(self._frame._relation)
        processor = GroupFunction(func, _struct(stateStructType), timeoutConf, columns, has_watermark)
        described = Described(processor, _struct(outputStructType), takes_arrow=True)
        described.shown = getattr(func, "__name__", type(func).__name__)
        return self._process(described, outputMode, TIME_MODES[timeoutConf], timeouts=True)

    def applyInPandas(self, func: Any, schema: Any) -> DataFrame:
        """Streams refuse it, as their groups never end; tables do not have it yet."""
        instead = "use applyInPandasWithState or transformWithState"
        if self._frame.isStreaming:
            raise refused_on_stream("applyInPandas()", instead)
        raise AnalysisException(
            f"applyInPandas() is not supported by this version of Tidemill\n  = help: {instead}", "UNSUPPORTED_FEATURE"
        )

    def _with_state(
        self,
        processor: StatefulProcessor,
        output: StructType | str,
        mode: str,
        time_mode: str,
        initial: GroupedData | None,
        event_time: str,
        *,
        takes_arrow: bool,
    ) -> DataFrame:
        if not all(callable(getattr(processor, name, None)) for name in ("init", "handleInputRows", "close")):
            raise wrong_type("statefulProcessor", "a StatefulProcessor", processor)
        if initial is not None and not isinstance(initial, GroupedData):
            raise wrong_type("initialState", "a grouped DataFrame, such as rows.groupBy('k')", initial)
        described = Described(processor, _struct(output), takes_arrow)
        return self._process(described, mode, time_mode, initial=initial, event_time=event_time)

    def _process(
        self,
        described: Described,
        mode: str,
        time_mode: str,
        *,
        initial: GroupedData | None = None,
        event_time: str = "",
        timeouts: bool = False,
    ) -> DataFrame:
        for argument, value in (("outputMode", mode), ("timeMode", time_mode)):
            if not isinstance(value, str):
                raise wrong_type(argument, "a str", value)
        frame = self._frame
        first = None
        if initial is not None:
            first = {"input": initial._frame._relation, "groups": initial._groups}
            frame = frame._over(frame._relation, initial._frame)
        return frame._node(
            "process",
            groups=self._groups,
            processor=FunctionName(described.shown, described),
            shown=described.shown,
            output=described._output.toDDL(),
            mode=mode.lower(),
            time_mode=time_mode,
            event_time=event_time or None,
            initial=first,
            timeouts=timeouts,
        )

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


def _struct(schema: StructType | str) -> StructType:
    if isinstance(schema, str):
        return StructType.fromDDL(schema)
    if not isinstance(schema, StructType):
        raise wrong_type("schema", "a StructType or DDL", schema)
    return schema


def _has_watermark(value: Any) -> bool:
    """True when a watermark is declared somewhere in a plan."""
    if isinstance(value, dict):
        return value.get("node") == "watermark" or any(map(_has_watermark, value.values()))
    return isinstance(value, (list, tuple)) and any(map(_has_watermark, value))


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
