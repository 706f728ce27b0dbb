"""Runs a function of pandas Series or Arrow arrays over the columns of a batch; what its type hints say.

pandas and pyarrow are imported when such a function is made, and never needed otherwise.
"""

from __future__ import annotations

import collections.abc
import importlib.util
import inspect
import typing
from collections.abc import Callable, Iterator
from typing import Any

from tidemill.errors import PySparkImportError, PySparkValueError
from tidemill.types import DataType, StructType

SCALAR, ITERATOR, ITERATOR_OF_TUPLES, AGGREGATE = "scalar", "iterator", "iterator of tuples", "aggregate"
"""How a function is called, by its type hints."""


def expect_pandas() -> None:
    """Raises an error that says what to install, when pandas or pyarrow is missing."""
    _expect("pandas", "tidemill[pandas]")
    expect_arrow()


def expect_arrow() -> None:
    """Raises an error that says what to install, when pyarrow is missing."""
    _expect("pyarrow", "tidemill[arrow]")


def _expect(package: str, extra: str) -> None:
    if importlib.util.find_spec(package) is None:
        raise PySparkImportError(
            f"{package} is not installed, and functions of this kind need it\n  = help: pip install '{extra}'",
            "PACKAGE_NOT_INSTALLED",
            {"package_name": package},
        )


def hints_of(func: Callable[..., Any]) -> str:
    """How the function is called.

    Raises:
        PySparkValueError: type hints that no function of columns has.
    """
    try:
        hints = typing.get_type_hints(func)
    except (NameError, TypeError):
        # names that are not there at run time; what can be read of them is in the text
        hints = dict(getattr(func, "__annotations__", {}))
    result = hints.pop("return", None)
    if result is None and not hints:
        return SCALAR
    given = next(iter(hints.values()), None)
    if _is_iterator(given) and _is_iterator(result):
        (item,) = typing.get_args(given)[:1] or (None,)
        return ITERATOR_OF_TUPLES if typing.get_origin(item) is tuple else ITERATOR
    if _is_column(result):
        return SCALAR
    if given is not None and _is_column(given) and result is not None and not _is_iterator(result):
        return AGGREGATE
    raise PySparkValueError(
        f"the type hints of {getattr(func, '__name__', func)} are those of no function over columns\n"
        "  = help: write Series -> Series, Iterator[Series] -> Iterator[Series], or Series -> a plain value",
        "UNSUPPORTED_SIGNATURE",
        {"signature": str(inspect.signature(func))},
    )


expect_hints = hints_of


def _is_iterator(hint: Any) -> bool:
    if isinstance(hint, str):
        return "Iterator" in hint
    return typing.get_origin(hint) in (collections.abc.Iterator, collections.abc.Iterable)


def _is_column(hint: Any) -> bool:
    name = hint if isinstance(hint, str) else getattr(hint, "__name__", "")
    return name.rpartition(".")[2] in ("Series", "DataFrame", "Array", "ChunkedArray") or name.endswith("Array")


def pandas_runner(
    called: Callable[..., Any], written: Callable[..., Any], result: DataType
) -> Callable[[list[Any], int], Any]:
    """What the engine calls: Arrow arrays and the number of rows in, an Arrow array out."""
    import pandas
    import pyarrow

    def run(columns: list[Any], rows: int) -> Any:
        given = [to_pandas(pyarrow.array(column)) for column in columns] or [pandas.Series([None] * rows)]
        return from_pandas(_called(called, hints_of(written), given, pandas.concat), result)

    return run


def arrow_runner(
    called: Callable[..., Any], written: Callable[..., Any], result: DataType
) -> Callable[[list[Any], int], Any]:
    """As `pandas_runner`, for functions of Arrow arrays."""
    import pyarrow

    def joined(parts: list[Any]) -> Any:
        return pyarrow.concat_arrays([_one(part) for part in parts])

    def run(columns: list[Any], rows: int) -> Any:
        given = [pyarrow.array(column) for column in columns] or [pyarrow.nulls(rows)]
        return _one(_called(called, hints_of(written), given, joined))

    return run


def _one(array: Any) -> Any:
    """An array in one piece."""
    return array.combine_chunks() if hasattr(array, "combine_chunks") else array


def _called(func: Callable[..., Any], hints: str, columns: list[Any], joined: Callable[[list[Any]], Any]) -> Any:
    if hints in (ITERATOR, ITERATOR_OF_TUPLES):
        batch = tuple(columns) if hints == ITERATOR_OF_TUPLES or len(columns) > 1 else columns[0]
        parts = list(func(iter([batch])))
        return parts[0] if len(parts) == 1 else joined(parts)
    return func(*columns)


def to_pandas(array: Any) -> Any:
    """An Arrow array as pandas has it in PySpark: a struct as a DataFrame, an instant as naive time in UTC."""
    import pandas
    import pyarrow

    if pyarrow.types.is_struct(array.type):
        parts = {field.name: to_pandas(array.field(place)) for place, field in enumerate(array.type)}
        return pandas.DataFrame(parts)
    if pyarrow.types.is_timestamp(array.type):
        return array.cast(pyarrow.timestamp("us")).to_pandas()
    return array.to_pandas(date_as_object=True)


def from_pandas(given: Any, result: DataType) -> Any:
    """What a function of pandas gives as an Arrow array; NaN where there is nothing is NULL."""
    import pandas
    import pyarrow

    if isinstance(result, StructType):
        if not isinstance(given, pandas.DataFrame):
            raise TypeError(f"a struct is given as a pandas DataFrame, not as {type(given).__name__}")
        columns = [_column_of(given, place, field.name) for place, field in enumerate(result.fields)]
        arrays = [from_pandas(column, field.dataType) for column, field in zip(columns, result.fields, strict=True)]
        return pyarrow.StructArray.from_arrays(arrays, names=result.names)
    if not isinstance(given, (pandas.Series, pandas.Index)):
        given = pandas.Series(given)
    return _one(pyarrow.array(given, from_pandas=True))


def _column_of(frame: Any, place: int, name: str) -> Any:
    """A column by its name; by its place when the frame's columns have no names."""
    if all(isinstance(known, str) for known in frame.columns):
        if name not in frame.columns:
            raise ValueError(f"the DataFrame has no column `{name}`; columns: {', '.join(frame.columns)}")
        return frame[name]
    return frame.iloc[:, place]


def frames_of(tables: Iterator[Any]) -> Iterator[Any]:
    """Arrow tables as pandas DataFrames."""
    import pandas

    for table in tables:
        columns = {name: to_pandas(_one(table.column(place))) for place, name in enumerate(table.column_names)}
        yield pandas.DataFrame(columns)
