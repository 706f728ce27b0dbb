"""Windows of rows for `Column.over`. A stream refuses them, since its rows never end; for windows of event time see
`tidemill.functions.window` and `session_window`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tidemill.column import ColumnOrName, Node, sort_key, to_columns


class WindowSpec:
    """Rows a function is computed over: partitions, an order, a frame."""

    def __init__(self, partition_by: Iterable[Node] = (), order_by: Iterable[Node] = ()) -> None:
        self._partition_by = list(partition_by)
        self._order_by = list(order_by)

    def partitionBy(self, *cols: ColumnOrName | list[ColumnOrName]) -> WindowSpec:
        """Rows with equal values belong together."""
        return WindowSpec([column._node for column in to_columns(cols)], self._order_by)

    def orderBy(self, *cols: ColumnOrName | list[ColumnOrName]) -> WindowSpec:
        """The order of rows within a partition."""
        return WindowSpec(self._partition_by, [sort_key(column) for column in to_columns(cols)])

    def rowsBetween(self, start: int, end: int) -> WindowSpec:
        """A frame of rows around the current one."""
        return WindowSpec(self._partition_by, self._order_by)

    def rangeBetween(self, start: int, end: int) -> WindowSpec:
        """A frame of values around the current one."""
        return WindowSpec(self._partition_by, self._order_by)

    def _parts(self) -> dict[str, Any]:
        return {"partition_by": self._partition_by, "order_by": self._order_by}


class Window:
    """Makes a `WindowSpec`: ``Window.partitionBy("k").orderBy("ts")``."""

    unboundedPreceding: int = -(2**63)
    unboundedFollowing: int = 2**63 - 1
    currentRow: int = 0

    @staticmethod
    def partitionBy(*cols: ColumnOrName | list[ColumnOrName]) -> WindowSpec:
        """Rows with equal values belong together."""
        return WindowSpec().partitionBy(*cols)

    @staticmethod
    def orderBy(*cols: ColumnOrName | list[ColumnOrName]) -> WindowSpec:
        """The order of rows."""
        return WindowSpec().orderBy(*cols)

    @staticmethod
    def rowsBetween(start: int, end: int) -> WindowSpec:
        """A frame of rows around the current one."""
        return WindowSpec().rowsBetween(start, end)

    @staticmethod
    def rangeBetween(start: int, end: int) -> WindowSpec:
        """A frame of values around the current one."""
        return WindowSpec().rangeBetween(start, end)
