"""Runs a function of single values over the columns of a batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def runner(func: Callable[..., Any]) -> Callable[[list[list[Any]], int], list[Any]]:
    """What the engine calls: lists of values and the number of rows in, a list of results out."""

    def run(columns: list[list[Any]], rows: int) -> list[Any]:
        if not columns:
            return [func() for _ in range(rows)]
        return list(map(func, *columns))

    return run
