"""Aggregate functions in Python: a class that folds rows into a state, or a function of pandas Series or Arrow arrays
that gives a plain value."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from tidemill.column import Column, ColumnOrName, to_column
from tidemill.errors import wrong_type
from tidemill.types import DataType, StructType, to_ddl
from tidemill.udf import arrays
from tidemill.udf.named import FunctionName

CALL = "__user_aggregate"
"""The name plans call these functions by: with the function, its name for people, and the arguments."""


class Aggregate:
    """Subclass it, and make a function of an instance with `udaf`. States of two parts of a group are merged, so that
    sliding windows and restarts cost no more than for built-in aggregates.

    Attributes:
        state: the fields of the state, as DDL or StructType.
        result: type of the result.
    """

    state: ClassVar[str | StructType]
    result: ClassVar[str | DataType]

    def zero(self) -> tuple[Any, ...]:
        """The state of no rows: a value for each field."""
        raise NotImplementedError

    def update(self, state: Any, *columns: Any) -> tuple[Any, ...]:
        """The state with rows added.

        Args:
            state: the state so far, a Row.
            columns: a ``pyarrow.Array`` for each argument; all rows of one group in a batch.
        """
        raise NotImplementedError

    def merge(self, left: Any, right: Any) -> tuple[Any, ...]:
        """Two states as one."""
        raise NotImplementedError

    def finish(self, state: Any) -> Any:
        """The result; None for NULL."""
        raise NotImplementedError


def udaf(aggregate: Aggregate, name: str | None = None) -> AggregateFunction:
    """An aggregate as a function over columns: ``total = udaf(Total())``, ``df.groupBy("k").agg(total("v"))``.

    Raises:
        PySparkImportError: pyarrow is not installed.
    """
    arrays.expect_arrow()
    if not isinstance(aggregate, Aggregate):
        raise wrong_type("aggregate", "an instance of a subclass of Aggregate", aggregate)
    shown = name or type(aggregate).__name__
    return AggregateFunction(Folding(aggregate, shown))


class AggregateFunction:
    """An aggregate function over columns."""

    def __init__(self, described: Folding | Gathering) -> None:
        self._described_as = described

    def __call__(self, *args: ColumnOrName) -> Column:
        return aggregate_call(self._described_as, args)

    def __repr__(self) -> str:
        return f"<AggregateFunction {self._described_as.shown}>"

    def _described(self, names: tuple[str | None, ...] = ()) -> Folding | Gathering:
        return self._described_as


def aggregate_call(described: Folding | Gathering, args: Sequence[ColumnOrName]) -> Column:
    """The call of an aggregate function as the plan has it."""
    names = [FunctionName(described.shown, described), described.shown]
    literals = [{"node": "literal", "data_type": "string", "text": name} for name in names]
    return Column({"node": "call", "name": CALL, "arguments": [*literals, *(to_column(arg)._node for arg in args)]})


class Folding:
    """An `Aggregate` as the engine reads it: every method is about several groups at once."""

    kind = "aggregate"

    def __init__(self, aggregate: Aggregate, shown: str) -> None:
        self.shown = shown
        state = aggregate.state
        self.state = (StructType.fromDDL(state) if isinstance(state, str) else state).toDDL()
        self.result = to_ddl(aggregate.result)
        self._aggregate = aggregate

    def _described(self, names: tuple[str | None, ...] = ()) -> Folding:
        return self

    def zero(self, groups: int) -> list[Any]:
        """States of groups without rows."""
        return [self._aggregate.zero() for _ in range(groups)]

    def update(self, states: list[Any], columns: list[Any], ends: list[int]) -> list[Any]:
        """The states with the rows added; those of a group end at its number in `ends`."""
        parts = _parts(columns, ends)
        return [self._aggregate.update(state, *part) for state, part in zip(states, parts, strict=True)]

    def merge(self, left: list[Any], right: list[Any]) -> list[Any]:
        """Two states of each group as one."""
        return [self._aggregate.merge(one, other) for one, other in zip(left, right, strict=True)]

    def finish(self, states: list[Any]) -> list[Any]:
        """The results."""
        return [self._aggregate.finish(state) for state in states]


class Gathering:
    """A function of all values of a group as the engine reads it."""

    kind = "aggregate"
    state = None

    def __init__(self, func: Callable[..., Any], result: str | DataType, shown: str, in_pandas: bool) -> None:
        self.shown = shown
        self.result = to_ddl(result)
        self._func = func
        self._in_pandas = in_pandas

    def _described(self, names: tuple[str | None, ...] = ()) -> Gathering:
        return self

    def whole(self, columns: list[Any], ends: list[int]) -> list[Any]:
        """The results of groups whose rows end at their numbers in `ends`."""
        results = []
        for part in _parts(columns, ends):
            given = [arrays.to_pandas(column) for column in part] if self._in_pandas else part
            results.append(_plain(self._func(*given)))
        return results


def _parts(columns: list[Any], ends: list[int]) -> list[list[Any]]:
    import pyarrow

    whole = [pyarrow.array(column) for column in columns]
    starts = [0, *ends[:-1]]
    return [[column.slice(start, end - start) for column in whole] for start, end in zip(starts, ends, strict=True)]


def _plain(value: Any) -> Any:
    """A number of numpy or a scalar of Arrow as Python's own; NaN of an empty Series stays NaN."""
    if hasattr(value, "as_py"):
        return value.as_py()
    if value.__class__.__module__.partition(".")[0] in ("numpy", "pandas") and hasattr(value, "item"):
        return value.item()
    return value
