"""A Python function as a function of a plan, under PySpark's names."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from tidemill.column import Column, ColumnOrName, to_column
from tidemill.errors import PySparkTypeError, wrong_type
from tidemill.types import DataType, to_ddl
from tidemill.udf import arrays, values
from tidemill.udf.aggregate import Gathering, aggregate_call
from tidemill.udf.named import FunctionName

VALUES, PANDAS, ARROW = "values", "pandas", "arrow"
"""What a function is called with: single values, pandas Series, or Arrow arrays."""


class UserDefinedFunction:
    """A function over columns that is written in Python.

    Called with columns or names of columns, it gives a column: ``plus("a", F.col("b"))``.

    Attributes:
        func: the function itself.
        returnType: type of its results.
        evalType: what it is called with: ``values``, ``pandas`` or ``arrow``.
        deterministic: False when the same arguments may give different results.
    """

    def __init__(
        self, func: Callable[..., Any], returnType: str | DataType, evalType: str, name: str | None = None
    ) -> None:
        if not callable(func):
            raise PySparkTypeError(
                f"argument `func` takes a function, not {type(func).__name__}", "NOT_CALLABLE", {"arg_name": "func"}
            )
        if not isinstance(returnType, (str, DataType)):
            raise wrong_type("returnType", "a DataType or DDL", returnType)
        self.func = func
        self.returnType = returnType if isinstance(returnType, DataType) else DataType.fromDDL(returnType)
        self.evalType = evalType
        self.deterministic = True
        self._name = name or getattr(func, "__name__", type(func).__name__)
        aggregates = evalType != VALUES and arrays.hints_of(func) == arrays.AGGREGATE
        shown, in_pandas = self._name, evalType == PANDAS
        self._gathering = Gathering(func, self.returnType, shown, in_pandas) if aggregates else None
        functools.update_wrapper(self, func, updated=())

    def asNondeterministic(self) -> UserDefinedFunction:
        """Says that the same arguments may give different results, so that no call is saved."""
        self.deterministic = False
        return self

    def __call__(self, *args: ColumnOrName, **kwargs: ColumnOrName) -> Column:
        if self._gathering is not None:
            return aggregate_call(self._gathering, [*args, *kwargs.values()])
        arguments = [to_column(argument) for argument in args]
        names = [None] * len(arguments) + list(kwargs)
        arguments += [to_column(argument) for argument in kwargs.values()]
        name = FunctionName(self._name, self, tuple(names) if kwargs else ())
        return Column({"node": "call", "name": name, "arguments": [argument._node for argument in arguments]})

    def __repr__(self) -> str:
        return f"<UserDefinedFunction {self._name} -> {self.returnType.simpleString()}>"

    def _described(self, names: tuple[str | None, ...] = ()) -> Any:
        return self._gathering or Described(self, names)


class Described:
    """A function as the engine reads it: attributes, and `run` over the columns of a batch."""

    kind = "function"

    def __init__(self, function: UserDefinedFunction, names: tuple[str | None, ...]) -> None:
        self.shown = function._name
        self.result = to_ddl(function.returnType)
        self.deterministic = function.deterministic
        self.style = "values" if function.evalType == VALUES else "arrow"
        func = function.func
        if any(names):
            func = _by_name(func, names)
        match function.evalType:
            case "values":
                self.run = values.runner(func)
            case "pandas":
                self.run = arrays.pandas_runner(func, function.func, function.returnType)
            case _:
                self.run = arrays.arrow_runner(func, function.func, function.returnType)


def _by_name(func: Callable[..., Any], names: tuple[str | None, ...]) -> Callable[..., Any]:
    """The function with its last arguments given by name."""
    first = next(place for place, name in enumerate(names) if name is not None)

    def called(*given: Any) -> Any:
        return func(*given[:first], **dict(zip(names[first:], given[first:], strict=True)))

    return called


def udf(
    f: Callable[..., Any] | DataType | str | None = None,
    returnType: DataType | str = "string",
    *,
    useArrow: bool | None = None,
) -> Any:
    """A function over single values: ``@udf("int")``, ``udf(f, "int")``. None stands for NULL.

    The rows of a batch are handed over at once, as Arrow; the function is called once a row.

    Args:
        f: the function; or, as a decorator, the type of its results.
        returnType: type of the results; a result that does not fit it fails the query.
        useArrow: accepted as in Spark; rows go over as Arrow anyway.
    """
    return _decorated(f, returnType, VALUES)


def pandas_udf(
    f: Callable[..., Any] | DataType | str | None = None,
    returnType: DataType | str | None = None,
    functionType: Any = None,
) -> Any:
    """A function over pandas Series: ``@pandas_udf("double")``. A struct is a pandas DataFrame.

    The type hints say how it is called: ``Series -> Series``, ``Iterator[Series] -> Iterator[Series]``,
    ``Iterator[tuple[Series, ..]] -> Iterator[Series]``; ``Series -> float`` and the like is an aggregate.

    Raises:
        PySparkImportError: pandas or pyarrow is not installed.
    """
    arrays.expect_pandas()
    return _decorated(f, returnType, PANDAS)


def arrow_udf(
    f: Callable[..., Any] | DataType | str | None = None,
    returnType: DataType | str | None = None,
    functionType: Any = None,
) -> Any:
    """A function over ``pyarrow.Array``: ``@arrow_udf("double")``. Type hints as in `pandas_udf`.

    Raises:
        PySparkImportError: pyarrow is not installed.
    """
    arrays.expect_arrow()
    return _decorated(f, returnType, ARROW)


def _decorated(f: Any, return_type: Any, style: str) -> Any:
    if f is None or isinstance(f, (str, DataType)):
        given = f if f is not None else return_type
        if given is None:
            raise PySparkTypeError("the function needs a returnType", "CANNOT_BE_NONE", {"arg_name": "returnType"})
        return lambda func: _made(func, given, style)
    if return_type is None:
        raise PySparkTypeError("the function needs a returnType", "CANNOT_BE_NONE", {"arg_name": "returnType"})
    return _made(f, return_type, style)


def _made(func: Any, return_type: Any, style: str) -> UserDefinedFunction:
    made = UserDefinedFunction(func, return_type, style)
    if style != VALUES:
        arrays.expect_hints(func)
    return made
