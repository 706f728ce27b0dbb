"""Columns by name, values, SQL text, orders and hints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidemill.column import Column, ColumnOrName, col, expr, lit, to_column

if TYPE_CHECKING:
    from tidemill.dataframe import DataFrame

__all__ = [
    "asc",
    "asc_nulls_first",
    "asc_nulls_last",
    "broadcast",
    "col",
    "column",
    "desc",
    "desc_nulls_first",
    "desc_nulls_last",
    "expr",
    "lit",
]


def column(col: str) -> Column:
    """The column of that name: another name of `col`."""
    return to_column(col)


def asc(col: ColumnOrName) -> Column:
    """Ascending, NULLs first."""
    return to_column(col).asc()


def asc_nulls_first(col: ColumnOrName) -> Column:
    """Ascending, NULLs first."""
    return to_column(col).asc_nulls_first()


def asc_nulls_last(col: ColumnOrName) -> Column:
    """Ascending, NULLs last."""
    return to_column(col).asc_nulls_last()


def desc(col: ColumnOrName) -> Column:
    """Descending, NULLs last."""
    return to_column(col).desc()


def desc_nulls_first(col: ColumnOrName) -> Column:
    """Descending, NULLs first."""
    return to_column(col).desc_nulls_first()


def desc_nulls_last(col: ColumnOrName) -> Column:
    """Descending, NULLs last."""
    return to_column(col).desc_nulls_last()


def broadcast(df: DataFrame) -> DataFrame:
    """Accepted as in Spark; the engine chooses how to join by itself."""
    return df
