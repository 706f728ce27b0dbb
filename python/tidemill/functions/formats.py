"""JSON and CSV inside columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tidemill.column import Column, ColumnOrName, call, lit, to_column
from tidemill.functions._arguments import options_map
from tidemill.types import DataType, StructType, to_ddl

__all__ = [
    "from_csv",
    "from_json",
    "get_json_object",
    "json_array_length",
    "json_object_keys",
    "json_tuple",
    "schema_of_csv",
    "schema_of_json",
    "to_csv",
    "to_json",
]


def _schema(schema: DataType | Column | str) -> Column:
    if isinstance(schema, Column):
        return schema
    return lit(schema.toDDL() if isinstance(schema, StructType) else to_ddl(schema))


def from_json(col: ColumnOrName, schema: DataType | Column | str, options: Mapping[str, Any] | None = None) -> Column:
    """JSON text as a value of `schema`: a struct, array or map.

    Args:
        col: the text; NULL gives NULL.
        schema: a DataType, or DDL such as ``"a INT, b STRING"``.
        options: Spark's JSON options, such as ``{"mode": "FAILFAST"}``. In the default mode text that cannot be read
            gives NULL in every field.
    """
    return call("from_json", to_column(col), _schema(schema), options_map(options))


def to_json(col: ColumnOrName, options: Mapping[str, Any] | None = None) -> Column:
    """A struct, array or map as JSON text; fields that are NULL are left out."""
    return call("to_json", to_column(col), options_map(options))


def get_json_object(col: ColumnOrName, path: str) -> Column:
    """What stands at a path such as ``$.a.b[0]`` in JSON text, as text."""
    return call("get_json_object", to_column(col), lit(path))


def json_tuple(col: ColumnOrName, *fields: str) -> Column:
    """Several fields of JSON text at once, a column each."""
    return call("json_tuple", to_column(col), *map(lit, fields))


def json_array_length(col: ColumnOrName) -> Column:
    """How many elements the outermost array has, NULL when there is none."""
    return call("json_array_length", to_column(col))


def json_object_keys(col: ColumnOrName) -> Column:
    """The keys of the outermost object as an array."""
    return call("json_object_keys", to_column(col))


def schema_of_json(json: Column | str, options: Mapping[str, Any] | None = None) -> Column:
    """The schema of a JSON text, as DDL."""
    return call("schema_of_json", lit(json), options_map(options))


def from_csv(col: ColumnOrName, schema: StructType | Column | str, options: Mapping[str, Any] | None = None) -> Column:
    """A line of CSV as a struct."""
    return call("from_csv", to_column(col), _schema(schema), options_map(options))


def to_csv(col: ColumnOrName, options: Mapping[str, Any] | None = None) -> Column:
    """A struct as a line of CSV."""
    return call("to_csv", to_column(col), options_map(options))


def schema_of_csv(csv: Column | str, options: Mapping[str, Any] | None = None) -> Column:
    """The schema of a line of CSV, as DDL."""
    return call("schema_of_csv", lit(csv), options_map(options))
