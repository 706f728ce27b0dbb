"""Names in a plan that carry the Python object they stand for, and the way from there to the engine.

A plan is JSON. A call of a Python function has the function's name in it: text like any other, with the function
beside it. Before a plan goes to the engine, `described` gives every function a name of its own, the same one whenever
the same program builds the same plan.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

PREFIX = "python."
"""How names of functions begin that are called as objects; no function of the engine has a dot in its name."""


class FunctionName(str):
    """A name that stands for a Python object.

    Attributes:
        function: the object, which has a method ``_described``.
        names: for each argument, the name it is given by, or None; empty when all go by their places.
    """

    function: Any
    names: tuple[str | None, ...]

    def __new__(cls, name: str, function: Any, names: tuple[str | None, ...] = ()) -> FunctionName:
        made = super().__new__(cls, name)
        made.function = function
        made.names = names
        return made


def described(relation: Any, registered: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The plan with names the engine can tell apart, and what each of them is.

    Args:
        relation: a plan.
        registered: functions of the session that SQL knows by name.
    """
    functions = {name: function._described() for name, function in registered.items()}
    known: dict[tuple[int, tuple[str | None, ...]], str] = {}

    def settled(value: Any) -> Any:
        match value:
            case FunctionName():
                key = (id(value.function), value.names)
                if key not in known:
                    known[key] = _unused(PREFIX + value.lower(), functions)
                    functions[known[key]] = value.function._described(value.names)
                return known[key]
            case dict():
                return {key: settled(child) for key, child in value.items()}
            case list() | tuple():
                return [settled(child) for child in value]
            case _:
                return value

    return settled(relation), functions


def _unused(name: str, taken: Mapping[str, Any]) -> str:
    number, candidate = 1, name
    while candidate in taken:
        number += 1
        candidate = f"{name}_{number}"
    return candidate
