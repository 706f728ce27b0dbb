"""Functions of whole batches: what `mapInPandas` and `mapInArrow` are given."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from tidemill.errors import wrong_type
from tidemill.types import StructType
from tidemill.udf import arrays


class Described:
    """A function of batches as the engine reads it: `run` over a batch, an Arrow table."""

    kind = "map"

    def __init__(self, func: Callable[..., Any], schema: StructType | str, run: Callable[[Any], list[Any]]) -> None:
        self.shown = getattr(func, "__name__", type(func).__name__)
        self.output = _struct(schema).toDDL()
        self.run = run

    def _described(self, names: tuple[str | None, ...] = ()) -> Described:
        return self


def in_pandas(func: Callable[[Iterator[Any]], Iterator[Any]], schema: StructType | str) -> Described:
    """A function of an iterator of pandas DataFrames."""
    arrays.expect_pandas()
    struct = _struct(schema)

    def run(table: Any) -> list[Any]:
        import pyarrow

        frames = func(arrays.frames_of(iter([pyarrow.table(table)])))
        return [arrays.from_pandas(frame, struct) for frame in frames if len(frame)]

    return Described(_callable(func), struct, run)


def in_arrow(func: Callable[[Iterator[Any]], Iterator[Any]], schema: StructType | str) -> Described:
    """A function of an iterator of Arrow batches."""
    arrays.expect_arrow()

    def run(table: Any) -> list[Any]:
        import pyarrow

        given = func(iter(pyarrow.table(table).to_batches()))
        return [batch.to_struct_array() for batch in given if batch.num_rows]

    return Described(_callable(func), _struct(schema), run)


def _callable(func: Any) -> Any:
    if not callable(func):
        raise wrong_type("func", "a function", func)
    return func


def _struct(schema: StructType | str) -> StructType:
    if isinstance(schema, str):
        return StructType.fromDDL(schema)
    if not isinstance(schema, StructType):
        raise wrong_type("schema", "a StructType or DDL", schema)
    return schema
