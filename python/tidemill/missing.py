"""NULLs: `DataFrame.na` fills them in, drops rows that have them, and replaces values.

A value is used in columns it fits: a number in numeric columns, text in text columns, a boolean in boolean ones.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tidemill import types as t
from tidemill.column import Column, call, col, lit
from tidemill.errors import AnalysisException, PySparkValueError, wrong_type

if TYPE_CHECKING:
    from tidemill.dataframe import DataFrame


class DataFrameNaFunctions:
    """What to do about NULLs."""

    def __init__(self, frame: DataFrame) -> None:
        self._frame = frame

    def fill(self, value: Any, subset: str | Sequence[str] | None = None) -> DataFrame:
        """Puts a value where NULL (or, in a floating-point column, NaN) is.

        Args:
            value: an int, float, str or bool for all columns it fits, or a dict of columns and values.
            subset: the columns to look at; all when absent. Ignored for a dict.
        """
        if isinstance(value, Mapping):
            values = {self._field(name).name: given for name, given in value.items()}
            fields = [self._field(name) for name in values]
        elif isinstance(value, (bool, int, float, str)):
            fields = [field for field in self._fields(subset) if _fits(value, field.dataType)]
            values = {field.name: value for field in fields}
        else:
            raise wrong_type("value", "a bool, int, float, str or dict", value)
        filled = {}
        for field in fields:
            known = _quoted(field.name)
            if isinstance(field.dataType, (t.DoubleType, t.FloatType)):
                known = call("nanvl", known, lit(None).cast(field.dataType))
            filled[field.name] = call("coalesce", known, lit(values[field.name]).cast(field.dataType))
        return self._frame.withColumns(filled) if filled else self._frame

    def drop(self, how: str = "any", thresh: int | None = None, subset: str | Sequence[str] | None = None) -> DataFrame:
        """Leaves out rows with NULL (or NaN).

        Args:
            how: "any": rows with a NULL in one of the columns; "all": rows that have nothing else.
            thresh: rows with fewer values than this; overrides `how`.
            subset: the columns to look at; all when absent.
        """
        if how not in ("any", "all"):
            raise PySparkValueError(f"how is 'any' or 'all', not '{how}'", "VALUE_NOT_ANY_OR_ALL")
        present = [_present(field) for field in self._fields(subset)]
        if not present:
            return self._frame
        if thresh is not None:
            counts = [call("if", is_there, lit(1), lit(0)) for is_there in present]
            return self._frame.filter(functools.reduce(Column.__add__, counts) >= thresh)
        joined = Column.__and__ if how == "any" else Column.__or__
        return self._frame.filter(functools.reduce(joined, present))

    def replace(self, to_replace: Any, value: Any = ..., subset: str | Sequence[str] | None = None) -> DataFrame:
        """Puts other values in the place of some.

        Args:
            to_replace: a value, a list of values, or a dict of old and new values.
            value: the new value, or a list as long as `to_replace`; None for NULL. Absent for a dict.
            subset: the columns to look at; all that fit when absent.
        """
        pairs = _pairs(to_replace, value)
        replaced = {}
        for field in self._fields(subset):
            fitting = [(old, new) for old, new in pairs if _fits(old, field.dataType)]
            if not fitting:
                continue
            known = _quoted(field.name)
            branches = [
                [(known == lit(old).cast(field.dataType))._node, lit(new).cast(field.dataType)._node]
                for old, new in fitting
            ]
            replaced[field.name] = Column({"node": "case", "branches": branches, "otherwise": known._node})
        return self._frame.withColumns(replaced) if replaced else self._frame

    def _fields(self, subset: str | Sequence[str] | None) -> list[t.StructField]:
        if subset is None:
            return list(self._frame.schema)
        return [self._field(name) for name in ([subset] if isinstance(subset, str) else subset)]

    def _field(self, name: str) -> t.StructField:
        schema = self._frame.schema
        for field in schema:
            if field.name.lower() == name.lower():
                return field
        raise AnalysisException(
            f"no column named `{name}`\n  = help: columns here: {', '.join(schema.names)}",
            "UNRESOLVED_COLUMN.WITH_SUGGESTION",
            {"objectName": name},
        )


def _quoted(name: str) -> Column:
    return col("`" + name.replace("`", "``") + "`")


def _present(field: t.StructField) -> Column:
    there = _quoted(field.name).isNotNull()
    if isinstance(field.dataType, (t.DoubleType, t.FloatType)):
        return there & ~_quoted(field.name).isNaN()
    return there


def _fits(value: Any, data_type: t.DataType) -> bool:
    match value:
        case bool():
            return isinstance(data_type, t.BooleanType)
        case int() | float():
            return isinstance(data_type, t.NumericType)
        case str():
            return isinstance(data_type, (t.StringType, t.VarcharType, t.CharType))
        case _:
            return False


def _pairs(to_replace: Any, value: Any) -> list[tuple[Any, Any]]:
    if isinstance(to_replace, Mapping):
        return list(to_replace.items())
    if value is ...:
        raise PySparkValueError("replace() needs a new value unless it is given a dict", "ARGUMENT_REQUIRED")
    old = list(to_replace) if isinstance(to_replace, (list, tuple)) else [to_replace]
    new = list(value) if isinstance(value, (list, tuple)) else [value] * len(old)
    if len(old) != len(new):
        raise PySparkValueError(f"{len(old)} values are to be replaced by {len(new)}", "LENGTH_SHOULD_BE_THE_SAME")
    return list(zip(old, new, strict=True))
