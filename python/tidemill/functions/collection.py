"""Arrays, maps and structs, and the generators that make rows of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tidemill.column import Column, ColumnOrName, call, lit, to_column, to_columns
from tidemill.functions._arguments import lambda_of, number, optional

__all__ = [
    "aggregate",
    "array",
    "array_append",
    "array_compact",
    "array_contains",
    "array_distinct",
    "array_except",
    "array_insert",
    "array_intersect",
    "array_join",
    "array_max",
    "array_min",
    "array_position",
    "array_prepend",
    "array_remove",
    "array_repeat",
    "array_size",
    "array_sort",
    "array_union",
    "arrays_overlap",
    "arrays_zip",
    "cardinality",
    "create_map",
    "element_at",
    "exists",
    "explode",
    "explode_outer",
    "filter",
    "flatten",
    "forall",
    "get",
    "inline",
    "inline_outer",
    "map_concat",
    "map_contains_key",
    "map_entries",
    "map_filter",
    "map_from_arrays",
    "map_from_entries",
    "map_keys",
    "map_values",
    "map_zip_with",
    "named_struct",
    "posexplode",
    "posexplode_outer",
    "reduce",
    "sequence",
    "shuffle",
    "size",
    "slice",
    "sort_array",
    "stack",
    "str_to_map",
    "struct",
    "transform",
    "transform_keys",
    "transform_values",
    "try_element_at",
    "zip_with",
]


def aggregate(
    col: ColumnOrName,
    initialValue: ColumnOrName,
    merge: Callable[[Column, Column], Column],
    finish: Callable[[Column], Column] | None = None,
) -> Column:
    """One value of all: ``merge(so far, value)`` for each, then ``finish(so far)``."""
    last = lambda_of(finish, 1, 1) if finish else None
    return call("aggregate", to_column(col), to_column(initialValue), lambda_of(merge, 2, 2), last)


def array(*cols: ColumnOrName | list[ColumnOrName]) -> Column:
    """The values as an array."""
    return call("array", *to_columns(cols))


def array_append(col: ColumnOrName, value: Any) -> Column:
    """With a value at the end."""
    return call("array_append", to_column(col), lit(value))


def array_compact(col: ColumnOrName) -> Column:
    """Without NULLs."""
    return call("array_compact", to_column(col))


def array_contains(col: ColumnOrName, value: Any) -> Column:
    """True when the value is in the array."""
    return call("array_contains", to_column(col), lit(value))


def array_distinct(col: ColumnOrName) -> Column:
    """Each value once."""
    return call("array_distinct", to_column(col))


def array_except(col1: ColumnOrName, col2: ColumnOrName) -> Column:
    """The values of the first that are not in the second, each once."""
    return call("array_except", to_column(col1), to_column(col2))


def array_insert(arr: ColumnOrName, pos: ColumnOrName | int, value: Any) -> Column:
    """With a value at a position, counted from 1."""
    return call("array_insert", to_column(arr), number(pos), lit(value))


def array_intersect(col1: ColumnOrName, col2: ColumnOrName) -> Column:
    """The values in both, each once."""
    return call("array_intersect", to_column(col1), to_column(col2))


def array_join(col: ColumnOrName, delimiter: Column | str, null_replacement: Column | str | None = None) -> Column:
    """The values as text with `delimiter` between them, NULLs left out or replaced."""
    return call("array_join", to_column(col), lit(delimiter), optional(lit, null_replacement))


def array_max(col: ColumnOrName) -> Column:
    """The greatest value, NULLs left out."""
    return call("array_max", to_column(col))


def array_min(col: ColumnOrName) -> Column:
    """The least value, NULLs left out."""
    return call("array_min", to_column(col))


def array_position(col: ColumnOrName, value: Any) -> Column:
    """The position of the first such value, counted from 1; 0 when missing."""
    return call("array_position", to_column(col), lit(value))


def array_prepend(col: ColumnOrName, value: Any) -> Column:
    """With a value at the start."""
    return call("array_prepend", to_column(col), lit(value))


def array_remove(col: ColumnOrName, element: Any) -> Column:
    """Without the values equal to one."""
    return call("array_remove", to_column(col), lit(element))


def array_repeat(col: ColumnOrName, count: ColumnOrName | int) -> Column:
    """The value `count` times."""
    return call("array_repeat", to_column(col), number(count))


def array_size(col: ColumnOrName) -> Column:
    """How many values there are."""
    return call("array_size", to_column(col))


def array_sort(col: ColumnOrName, comparator: Callable[[Column, Column], Column] | None = None) -> Column:
    """The values in ascending order, NULLs last, or as ``comparator(a, b)`` says: negative, 0 or positive."""
    return call("array_sort", to_column(col), lambda_of(comparator, 2, 2) if comparator else None)


def array_union(col1: ColumnOrName, col2: ColumnOrName) -> Column:
    """The values of both, each once."""
    return call("array_union", to_column(col1), to_column(col2))


def arrays_overlap(a1: ColumnOrName, a2: ColumnOrName) -> Column:
    """True when a value is in both."""
    return call("arrays_overlap", to_column(a1), to_column(a2))


def arrays_zip(*cols: ColumnOrName | list[ColumnOrName]) -> Column:
    """The values at the same place as structs."""
    return call("arrays_zip", *to_columns(cols))


def cardinality(col: ColumnOrName) -> Column:
    """How many values or entries there are."""
    return call("cardinality", to_column(col))


def create_map(*cols: ColumnOrName | list[ColumnOrName]) -> Column:
    """A map of keys and values, given in turn."""
    return call("map", *to_columns(cols))


def element_at(col: ColumnOrName, extraction: Any) -> Column:
    """The value at a position counted from 1, or under a key; fails out of range."""
    return call("element_at", to_column(col), lit(extraction))


def exists(col: ColumnOrName, f: Callable[[Column], Column]) -> Column:
    """True when ``f(value)`` is true for a value."""
    return call("exists", to_column(col), lambda_of(f, 1, 1))


def explode(col: ColumnOrName) -> Column:
    """A row for each value of an array or entry of a map."""
    return call("explode", to_column(col))


def explode_outer(col: ColumnOrName) -> Column:
    """`explode` that keeps rows with nothing in them."""
    return call("explode_outer", to_column(col))


def filter(col: ColumnOrName, f: Callable[..., Column]) -> Column:
    """The values for which ``f(value)`` or ``f(value, position from 0)`` is true."""
    return call("filter", to_column(col), lambda_of(f, 1, 2))


def flatten(col: ColumnOrName) -> Column:
    """An array of arrays as one array."""
    return call("flatten", to_column(col))


def forall(col: ColumnOrName, f: Callable[[Column], Column]) -> Column:
    """True when ``f(value)`` is true for every value."""
    return call("forall", to_column(col), lambda_of(f, 1, 1))


def get(col: ColumnOrName, index: ColumnOrName | int) -> Column:
    """The value at a position counted from 0, NULL out of range."""
    return call("get", to_column(col), number(index))


def inline(col: ColumnOrName) -> Column:
    """A row for each struct of an array, its fields as columns."""
    return call("inline", to_column(col))


def inline_outer(col: ColumnOrName) -> Column:
    """`inline` that keeps rows with nothing in them."""
    return call("inline_outer", to_column(col))


def map_concat(*cols: ColumnOrName | list[ColumnOrName]) -> Column:
    """The entries of several maps."""
    return call("map_concat", *to_columns(cols))


def map_contains_key(col: ColumnOrName, value: Any) -> Column:
    """True when the key is in the map."""
    return call("map_contains_key", to_column(col), lit(value))


def map_entries(col: ColumnOrName) -> Column:
    """The entries as an array of structs."""
    return call("map_entries", to_column(col))


def map_filter(col: ColumnOrName, f: Callable[[Column, Column], Column]) -> Column:
    """The entries for which ``f(key, value)`` is true."""
    return call("map_filter", to_column(col), lambda_of(f, 2, 2))


def map_from_arrays(col1: ColumnOrName, col2: ColumnOrName) -> Column:
    """A map of an array of keys and one of values."""
    return call("map_from_arrays", to_column(col1), to_column(col2))


def map_from_entries(col: ColumnOrName) -> Column:
    """A map of an array of structs."""
    return call("map_from_entries", to_column(col))


def map_keys(col: ColumnOrName) -> Column:
    """The keys as an array."""
    return call("map_keys", to_column(col))


def map_values(col: ColumnOrName) -> Column:
    """The values as an array."""
    return call("map_values", to_column(col))


def map_zip_with(col1: ColumnOrName, col2: ColumnOrName, f: Callable[[Column, Column, Column], Column]) -> Column:
    """``f(key, value of the first, value of the second)`` of every key of two maps."""
    return call("map_zip_with", to_column(col1), to_column(col2), lambda_of(f, 3, 3))


def named_struct(*cols: ColumnOrName | list[ColumnOrName]) -> Column:
    """A struct of names and values, given in turn."""
    return call("named_struct", *to_columns(cols))


def posexplode(col: ColumnOrName) -> Column:
    """`explode` with the position before the value."""
    return call("posexplode", to_column(col))


def posexplode_outer(col: ColumnOrName) -> Column:
    """`posexplode` that keeps rows with nothing in them."""
    return call("posexplode_outer", to_column(col))


def reduce(
    col: ColumnOrName,
    initialValue: ColumnOrName,
    merge: Callable[[Column, Column], Column],
    finish: Callable[[Column], Column] | None = None,
) -> Column:
    """One value of all: another name of `aggregate`."""
    return aggregate(col, initialValue, merge, finish)


def sequence(start: ColumnOrName, stop: ColumnOrName, step: ColumnOrName | None = None) -> Column:
    """The values from `start` to `stop`, both included."""
    return call("sequence", to_column(start), to_column(stop), optional(to_column, step))


def shuffle(col: ColumnOrName) -> Column:
    """The values in random order."""
    return call("shuffle", to_column(col))


def size(col: ColumnOrName) -> Column:
    """How many values or entries there are."""
    return call("size", to_column(col))


def slice(x: ColumnOrName, start: ColumnOrName | int, length: ColumnOrName | int) -> Column:
    """`length` values from `start`, which counts from 1, or from the end if negative."""
    return call("slice", to_column(x), number(start), number(length))


def sort_array(col: ColumnOrName, asc: bool | Column = True) -> Column:
    """The values in order, NULLs first when ascending."""
    return call("sort_array", to_column(col), lit(asc))


def stack(*cols: ColumnOrName | list[ColumnOrName]) -> Column:
    """The values in that many rows: the first argument says how many."""
    return call("stack", *to_columns(cols))


def str_to_map(
    text: ColumnOrName, pairDelim: ColumnOrName | None = None, keyValueDelim: ColumnOrName | None = None
) -> Column:
    """Text such as ``a=1,b=2`` as a map."""
    return call("str_to_map", to_column(text), optional(to_column, pairDelim), optional(to_column, keyValueDelim))


def struct(*cols: ColumnOrName | list[ColumnOrName]) -> Column:
    """The columns as a struct."""
    return call("struct", *to_columns(cols))


def transform(col: ColumnOrName, f: Callable[..., Column]) -> Column:
    """``f(value)`` or ``f(value, position from 0)`` of every value."""
    return call("transform", to_column(col), lambda_of(f, 1, 2))


def transform_keys(col: ColumnOrName, f: Callable[[Column, Column], Column]) -> Column:
    """The map with ``f(key, value)`` as keys."""
    return call("transform_keys", to_column(col), lambda_of(f, 2, 2))


def transform_values(col: ColumnOrName, f: Callable[[Column, Column], Column]) -> Column:
    """The map with ``f(key, value)`` as values."""
    return call("transform_values", to_column(col), lambda_of(f, 2, 2))


def try_element_at(col: ColumnOrName, extraction: ColumnOrName) -> Column:
    """The value at a position counted from 1, or under a key; NULL when missing."""
    return call("try_element_at", to_column(col), to_column(extraction))


def zip_with(left: ColumnOrName, right: ColumnOrName, f: Callable[[Column, Column], Column]) -> Column:
    """``f(left, right)`` of the values at the same place."""
    return call("zip_with", to_column(left), to_column(right), lambda_of(f, 2, 2))
