"""Choices, NULLs and values of no type."""

from __future__ import annotations

from typing import Any

from tidemill.column import Column, ColumnOrName, call, lit, to_column, to_columns
from tidemill.errors import wrong_type

__all__ = [
    "assert_true",
    "coalesce",
    "equal_null",
    "ifnull",
    "isnan",
    "isnotnull",
    "isnull",
    "nanvl",
    "nullif",
    "nullifzero",
    "nvl",
    "nvl2",
    "raise_error",
    "typeof",
    "when",
    "zeroifnull",
]


def assert_true(col: ColumnOrName, errMsg: Column | str | None = None) -> Column:
    """NULL where the condition is true; elsewhere the query fails with `errMsg`."""
    return call("assert_true", to_column(col), None if errMsg is None else lit(errMsg))


def coalesce(*cols: ColumnOrName | list[ColumnOrName]) -> Column:
    """The first value that is not NULL."""
    return call("coalesce", *to_columns(cols))


def equal_null(col1: ColumnOrName, col2: ColumnOrName) -> Column:
    """Equality in which NULL equals NULL."""
    return call("equal_null", to_column(col1), to_column(col2))


def ifnull(col1: ColumnOrName, col2: ColumnOrName) -> Column:
    """The second value where the first is NULL."""
    return call("ifnull", to_column(col1), to_column(col2))


def isnan(col: ColumnOrName) -> Column:
    """True for a number that is not a number."""
    return call("isnan", to_column(col))


def isnotnull(col: ColumnOrName) -> Column:
    """True for everything but NULL."""
    return call("isnotnull", to_column(col))


def isnull(col: ColumnOrName) -> Column:
    """True for NULL."""
    return call("isnull", to_column(col))


def nanvl(col1: ColumnOrName, col2: ColumnOrName) -> Column:
    """The second value where the first is NaN."""
    return call("nanvl", to_column(col1), to_column(col2))


def nullif(col1: ColumnOrName, col2: ColumnOrName) -> Column:
    """NULL where the two are equal, the first otherwise."""
    return call("nullif", to_column(col1), to_column(col2))


def nullifzero(col: ColumnOrName) -> Column:
    """NULL for 0, the value otherwise."""
    return call("nullifzero", to_column(col))


def nvl(col1: ColumnOrName, col2: ColumnOrName) -> Column:
    """The second value where the first is NULL."""
    return call("nvl", to_column(col1), to_column(col2))


def nvl2(col1: ColumnOrName, col2: ColumnOrName, col3: ColumnOrName) -> Column:
    """The second value where the first is not NULL, the third where it is."""
    return call("nvl2", to_column(col1), to_column(col2), to_column(col3))


def raise_error(errMsg: Column | str) -> Column:
    """Fails for every row it is computed for."""
    return call("raise_error", lit(errMsg))


def typeof(col: ColumnOrName) -> Column:
    """The name of the value's type."""
    return call("typeof", to_column(col))


def when(condition: Column, value: Any) -> Column:
    """`value` where the condition is true; goes on with ``.when(..)`` and ends with ``.otherwise(..)``."""
    if not isinstance(condition, Column):
        raise wrong_type("condition", "a Column", condition)
    return Column({"node": "case", "branches": [[condition._node, lit(value)._node]]})


def zeroifnull(col: ColumnOrName) -> Column:
    """0 for NULL, the value otherwise."""
    return call("zeroifnull", to_column(col))
