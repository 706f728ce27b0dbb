"""Python values as rows of Arrow: what `Session.createDataFrame` is given."""

from __future__ import annotations

import base64
import datetime
import decimal
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from tidemill import _tidemill
from tidemill import types as t
from tidemill.errors import PySparkTypeError, PySparkValueError, translated, wrong_type

_UTC = datetime.timezone.utc


def rows_of(data: Any, schema: Any) -> Any:
    """Rows as an object with ``__arrow_c_stream__``.

    Args:
        data: a list of tuples, dicts, Rows or single values; or a pandas, Polars or Arrow table.
        schema: DDL, StructType, a list of names, or None.

    Raises:
        PySparkTypeError: a value that is not of its column's type.
    """
    if hasattr(data, "__arrow_c_stream__") and schema is None:
        return data
    if hasattr(data, "__arrow_c_stream__") or hasattr(data, "to_dict"):
        return _from_table(data, schema)
    if isinstance(data, (str, bytes, Mapping)) or not hasattr(data, "__iter__"):
        raise wrong_type("data", "a list of rows, or a table", data)
    rows = [row if isinstance(row, (tuple, list, Mapping)) else (row,) for row in data]
    struct = _struct(rows, schema)
    encoded = [_fields(row, struct) for row in rows]
    with translated():
        return _tidemill.from_rows(struct.toDDL(), json.dumps(encoded))


def _from_table(data: Any, schema: Any) -> Any:
    """A table with its columns under other names or of other types."""
    if not hasattr(data, "__arrow_c_stream__"):
        import pyarrow

        data = pyarrow.Table.from_pandas(data, preserve_index=False)
    if schema is None:
        return data
    with translated():
        rows = [tuple(row) for row in _tidemill.to_rows(data, t.Row.of)]
    return rows_of(rows, schema)


def _struct(rows: Sequence[Any], schema: Any) -> t.StructType:
    if isinstance(schema, t.StructType):
        return schema
    if isinstance(schema, str):
        return t.StructType.fromDDL(schema)
    if schema is not None and not isinstance(schema, (list, tuple)):
        raise wrong_type("schema", "DDL, a StructType, or a list of names", schema)
    if not rows:
        raise PySparkValueError(
            "without rows the types of the columns are not known: give a schema", "CANNOT_INFER_EMPTY_SCHEMA"
        )
    first = rows[0]
    names = list(schema) if schema is not None else _names(first)
    fields = []
    for position, name in enumerate(names):
        found = [_value(row, name, position) for row in rows]
        fields.append(t.StructField(name, _type_of([value for value in found if value is not None], name)))
    return t.StructType(fields)


def _names(row: Any) -> list[str]:
    if isinstance(row, Mapping):
        return list(row)
    named = getattr(row, "__dict__", {}).get("__fields__", ()) or getattr(row, "_fields", ())
    return list(named) or [f"_{position + 1}" for position in range(len(row))]


def _value(row: Any, name: str, position: int) -> Any:
    if isinstance(row, Mapping):
        return row.get(name)
    return row[position] if position < len(row) else None


def _type_of(values: list[Any], name: str) -> t.DataType:
    """The type of values none of which is None."""
    kinds = {type(value) for value in values}
    match next(iter(values), None):
        case None:
            return t.NullType() if not values else t.StringType()
        case bool():
            return t.BooleanType()
        case int() if kinds <= {int}:
            return t.LongType()
        case int() | float() if kinds <= {int, float}:
            return t.DoubleType()
        case str():
            return t.StringType()
        case bytes() | bytearray():
            return t.BinaryType()
        case datetime.datetime():
            return t.TimestampType()
        case datetime.date():
            return t.DateType()
        case decimal.Decimal():
            return t.DecimalType(38, 18)
        case t.Row() as row:
            names = _names(row)
            items = [(key, [value[key] for value in values if value[key] is not None]) for key in names]
            return t.StructType([t.StructField(key, _type_of(found, key)) for key, found in items])
        case dict():
            keys = [key for value in values for key in value]
            inner = [item for value in values for item in value.values() if item is not None]
            return t.MapType(_type_of(keys, name), _type_of(inner, name))
        case list() | tuple():
            return t.ArrayType(_type_of([item for value in values for item in value if item is not None], name))
        case other:
            raise PySparkTypeError(
                f"the column `{name}` has a value of type {type(other).__name__}, for which there is no type of column",
                "UNSUPPORTED_DATA_TYPE",
            )


def _fields(row: Any, struct: t.StructType) -> list[Any]:
    if not isinstance(row, Mapping) and len(row) != len(struct.fields):
        raise PySparkValueError(f"a row has {len(row)} values for {len(struct.fields)} columns", "AXIS_LENGTH_MISMATCH")
    return [
        _encoded(_value(row, field.name, position), field.dataType, field.name)
        for position, field in enumerate(struct.fields)
    ]


def _encoded(value: Any, of: t.DataType, name: str) -> Any:
    """A value in the notation of case files."""
    if value is None:
        return None
    match of:
        case t.TimestampType() if isinstance(value, datetime.datetime):
            instant = value.astimezone(_UTC) if value.tzinfo else value
            return instant.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        case t.TimestampNTZType() if isinstance(value, datetime.datetime):
            return value.strftime("%Y-%m-%dT%H:%M:%S.%f")
        case t.DateType() if isinstance(value, datetime.date):
            return value.isoformat()[:10]
        case t.DecimalType(scale=scale) if isinstance(value, (int, float, decimal.Decimal)):
            return f"{decimal.Decimal(str(value)):.{scale}f}"
        case t.BinaryType() if isinstance(value, (bytes, bytearray)):
            return base64.b64encode(value).decode()
        case t.BooleanType() if isinstance(value, bool):
            return value
        case t.FloatType() | t.DoubleType() if isinstance(value, (int, float)) and not isinstance(value, bool):
            if math.isfinite(value):
                return value
            return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
        case t.IntegralType() if isinstance(value, int) and not isinstance(value, bool):
            return value
        case t.StringType() | t.CharType() | t.VarcharType():
            return value if isinstance(value, str) else str(value)
        case t.ArrayType(elementType=element) if isinstance(value, (list, tuple)):
            return [_encoded(item, element, name) for item in value]
        case t.MapType(keyType=key_type, valueType=value_type) if isinstance(value, Mapping):
            pairs = value.items()
            return [[_encoded(key, key_type, name), _encoded(item, value_type, name)] for key, item in pairs]
        case t.StructType() if isinstance(value, (tuple, list, Mapping)):
            return dict(zip(of.names, _fields(value, of), strict=True))
        case t.DateType() | t.TimestampType() | t.TimestampNTZType() | t.DecimalType() if isinstance(value, str):
            return value
    raise PySparkTypeError(
        f"the column `{name}` is {of.simpleString()}, and cannot take {value!r} ({type(value).__name__})",
        "FIELD_DATA_TYPE_UNACCEPTABLE",
    )
