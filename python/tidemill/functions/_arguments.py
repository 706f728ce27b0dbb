"""How arguments of functions become columns."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any

from tidemill.column import Column, ColumnOrName, call, lit, to_column
from tidemill.errors import PySparkValueError, wrong_type

_depth: ContextVar[int] = ContextVar("depth", default=0)
"""How many lambdas stand around the one being built, so that names of their parameters differ."""


def number(value: ColumnOrName | float) -> Column:
    """A column, the name of one, or a number."""
    return lit(value) if isinstance(value, (int, float)) else to_column(value)


def optional(convert: Callable[[Any], Column], value: object) -> Column | None:
    """The argument as a column, None when it is absent."""
    return None if value is None else convert(value)


def options_map(options: Mapping[str, Any] | None) -> Column | None:
    """Options as a map of text; booleans in lower case, as in Spark."""
    if not options:
        return None
    pairs = [
        (str(key), str(value).lower() if isinstance(value, bool) else str(value)) for key, value in options.items()
    ]
    return call("map", *(lit(part) for pair in pairs for part in pair))


def lambda_of(function: Callable[..., Column], least: int, most: int) -> Column:
    """A Python function over columns as a lambda of the plan.

    Raises:
        PySparkValueError: the function takes fewer or more arguments than it is given.
    """
    parameters = list(inspect.signature(function).parameters.values())
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    if any(parameter.kind not in kinds for parameter in parameters) or not least <= len(parameters) <= most:
        expected = str(least) if least == most else f"{least} or {most}"
        raise PySparkValueError(
            f"the function takes {len(parameters)} arguments, and {expected} are given to it",
            "WRONG_NUM_ARGS_FOR_HIGHER_ORDER_FUNCTION",
        )
    depth = _depth.get() + 1
    names = [f"{parameter.name}_{depth}" for parameter in parameters]
    token = _depth.set(depth)
    try:
        body = function(*(Column({"node": "column", "name": [name]}) for name in names))
    finally:
        _depth.reset(token)
    if not isinstance(body, Column):
        raise wrong_type("f", "a function that gives a Column", body)
    return Column({"node": "lambda", "parameters": names, "body": body._node})
