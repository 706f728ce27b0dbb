"""Values of case files as Spark takes them and gives them."""

from __future__ import annotations

import base64
import datetime
import decimal
import json
import math
from typing import Any

from pyspark.sql import types as T


def schema_of(columns: list[list[str]]) -> T.StructType:
    """Columns of a case as a Spark schema."""
    schema = T.StructType()
    for name, of in columns:
        schema = schema.add(name, T._parse_datatype_string(of))
    return schema


def to_line(row: list[Any], schema: T.StructType) -> str:
    """A row as a line of a JSON file that Spark reads."""
    fields = zip(schema.fields, row, strict=True)
    return "{" + ",".join(f"{json.dumps(field.name)}:{_text(value, field.dataType)}" for field, value in fields) + "}"


def _text(value: Any, of: T.DataType) -> str:
    if value is None:
        return "null"
    if isinstance(of, T.DecimalType):
        return format(decimal.Decimal(value), "f")
    if isinstance(of, T.ArrayType):
        return "[" + ",".join(_text(one, of.elementType) for one in value) + "]"
    if isinstance(of, T.MapType):
        return "{" + ",".join(f"{json.dumps(str(key))}:{_text(one, of.valueType)}" for key, one in value) + "}"
    if isinstance(of, T.StructType):
        fields = (f"{json.dumps(field.name)}:{_text(value.get(field.name), field.dataType)}" for field in of.fields)
        return "{" + ",".join(fields) + "}"
    return repr(value) if isinstance(value, float) else json.dumps(value)


def to_python(value: Any, of: T.DataType) -> Any:
    """A value as createDataFrame takes it."""
    if value is None:
        return None
    if isinstance(of, T.TimestampType):
        return datetime.datetime.strptime(value, "%Y-%m-%dT%H:%M:%S.%fZ")
    if isinstance(of, T.TimestampNTZType):
        return datetime.datetime.strptime(value, "%Y-%m-%dT%H:%M:%S.%f")
    if isinstance(of, T.DateType):
        return datetime.date.fromisoformat(value)
    if isinstance(of, T.DecimalType):
        return decimal.Decimal(value)
    if isinstance(of, (T.DoubleType, T.FloatType)):
        return float(value)
    if isinstance(of, T.BinaryType):
        return bytearray(base64.b64decode(value))
    if isinstance(of, T.ArrayType):
        return [to_python(one, of.elementType) for one in value]
    if isinstance(of, T.MapType):
        return {to_python(key, of.keyType): to_python(one, of.valueType) for key, one in value}
    if isinstance(of, T.StructType):
        return {field.name: to_python(value.get(field.name), field.dataType) for field in of.fields}
    return value


def from_spark(value: Any, of: T.DataType) -> Any:
    """A value of a collected row in the notation of case files."""
    if value is None:
        return None
    if isinstance(of, T.TimestampType):
        return value.strftime("%Y-%m-%dT%H:%M:%S.%fZ").rjust(27, "0")
    if isinstance(of, T.TimestampNTZType):
        return value.strftime("%Y-%m-%dT%H:%M:%S.%f").rjust(26, "0")
    if isinstance(of, T.DateType):
        return value.isoformat()
    if isinstance(of, T.DecimalType):
        return format(value, "f")
    if isinstance(of, (T.DoubleType, T.FloatType)):
        if math.isnan(value):
            return "NaN"
        return value if math.isfinite(value) else ("Infinity" if value > 0 else "-Infinity")
    if isinstance(of, T.BinaryType):
        return base64.b64encode(bytes(value)).decode()
    if isinstance(of, T.ArrayType):
        return [from_spark(one, of.elementType) for one in value]
    if isinstance(of, T.MapType):
        pairs = ([from_spark(key, of.keyType), from_spark(one, of.valueType)] for key, one in value.items())
        return sorted(pairs, key=lambda pair: pair[0] if isinstance(pair[0], str) else json.dumps(pair[0]))
    if isinstance(of, T.StructType):
        return {field.name: from_spark(one, field.dataType) for field, one in zip(of.fields, value, strict=True)}
    return value if isinstance(value, (bool, int, str)) else str(value)
