"""Arbitrary state by key, under PySpark's names: `transformWithState` and `applyInPandasWithState`.

Read `processor` first: what a processor is and what it can keep. `runner` calls one with the rows of a partition,
`group_state` is the older contract on top of the same state. `table` reads what a query has kept.
"""

from tidemill.state.group_state import GroupState, GroupStateTimeout
from tidemill.state.processor import (
    ExpiredTimerInfo,
    ListState,
    MapState,
    StatefulProcessor,
    StatefulProcessorHandle,
    TimerValues,
    ValueState,
)
from tidemill.state.table import read_state

__all__ = [
    "ExpiredTimerInfo",
    "GroupState",
    "GroupStateTimeout",
    "ListState",
    "MapState",
    "StatefulProcessor",
    "StatefulProcessorHandle",
    "TimerValues",
    "ValueState",
    "read_state",
]
