"""Functions over a window of rows (`Column.over`). A stream refuses them: its rows never end."""

from __future__ import annotations

from typing import Any

from tidemill.column import Column, ColumnOrName, call, lit, to_column

__all__ = ["cume_dist", "dense_rank", "lag", "lead", "nth_value", "ntile", "percent_rank", "rank", "row_number"]


def row_number() -> Column:
    """The number of the row, from 1."""
    return call("row_number")


def rank() -> Column:
    """The rank with gaps after equal rows."""
    return call("rank")


def dense_rank() -> Column:
    """The rank without gaps."""
    return call("dense_rank")


def percent_rank() -> Column:
    """The rank from 0 to 1."""
    return call("percent_rank")


def cume_dist() -> Column:
    """The share of rows up to this one."""
    return call("cume_dist")


def ntile(n: int) -> Column:
    """The number of the part when the rows are cut into `n`."""
    return call("ntile", lit(n))


def lag(col: ColumnOrName, offset: int = 1, default: Any = None) -> Column:
    """The value `offset` rows before."""
    return call("lag", to_column(col), lit(offset), None if default is None else lit(default))


def lead(col: ColumnOrName, offset: int = 1, default: Any = None) -> Column:
    """The value `offset` rows after."""
    return call("lead", to_column(col), lit(offset), None if default is None else lit(default))


def nth_value(col: ColumnOrName, offset: int, ignoreNulls: bool = False) -> Column:
    """The value of the `offset`-th row."""
    return call("nth_value", to_column(col), lit(offset), lit(ignoreNulls) if ignoreNulls else None)
