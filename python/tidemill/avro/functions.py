"""Avro bytes and columns: `from_avro` and `to_avro`, by a schema in JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tidemill.column import Column, ColumnOrName, call, lit, to_column
from tidemill.functions._arguments import options_map

__all__ = ["from_avro", "to_avro"]


def from_avro(data: ColumnOrName, jsonFormatSchema: str, options: Mapping[str, Any] | None = None) -> Column:
    """Avro bytes, without a container, as a value.

    Args:
        data: the bytes; NULL gives NULL.
        jsonFormatSchema: the schema the bytes were written with, in JSON.
        options: ``{"mode": "PERMISSIVE"}`` gives NULL for bytes that do not fit; without it they fail the query.
    """
    return call("from_avro", to_column(data), lit(jsonFormatSchema), options_map(options))


def to_avro(data: ColumnOrName, jsonFormatSchema: str = "") -> Column:
    """A value as Avro bytes, by a schema in JSON or by the one its type gives."""
    return call("to_avro", to_column(data), *([lit(jsonFormatSchema)] if jsonFormatSchema else []))
