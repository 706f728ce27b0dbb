"""Makes a case smaller while Spark and Tidemill still differ over it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

Case = dict[str, Any]


def smaller(case: Case) -> Iterator[Case]:
    """The case with one thing less, the largest things first."""
    for field in ("fail_in_batch", "restart_before", "trigger", "source_options", "conf"):
        if field in case:
            yield {key: value for key, value in case.items() if key != field}
    for number in reversed(range(len(case["batches"]))):
        if len(case["batches"]) > 1 and "restart_before" not in case and "fail_in_batch" not in case:
            less = copy.deepcopy(case)
            del less["batches"][number]
            yield less
    for number, batch in enumerate(case["batches"]):
        for stream, rows in batch.items():
            if isinstance(rows, dict):
                less = copy.deepcopy(case)
                less["batches"][number][stream] = [row for rows in rows["files"] for row in rows]
                yield less
            elif len(rows) > 1:
                half = len(rows) // 2
                for kept in (rows[:half], rows[half:]):
                    less = copy.deepcopy(case)
                    less["batches"][number][stream] = copy.deepcopy(kept)
                    yield less


def minimised(
    case: Case, redrawn: Callable[[frozenset[str]], tuple[Case, list[str]]], differs: Callable[[Case], bool], tries: int
) -> Case:
    """The smallest case that was found within so many tries.

    Args:
        case: one that differs.
        redrawn: the case without these parts of its query, and all parts there are.
        differs: whether the engines still differ over a case.
        tries: how often that may be asked.
    """
    skip: frozenset[str] = frozenset()
    for part in redrawn(skip)[1]:
        if tries == 0:
            return case
        less, _ = redrawn(skip | {part})
        tries -= 1
        is_query = "SELECT  FROM" not in less["query"].get("sql", "")
        if is_query and less["query"] != case["query"] and differs(less):
            case, skip = less, skip | {part}
    found = True
    while found and tries > 0:
        found = False
        for less in smaller(case):
            tries -= 1
            if differs(less):
                case, found = less, True
                break
            if tries == 0:
                break
    return case
