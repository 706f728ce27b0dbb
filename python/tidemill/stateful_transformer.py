"""Windowing, aggregations and stateful operations for streaming data, under one name.

Windows and aggregates are those of `tidemill.functions`; state of any kind is kept by a `StatefulProcessor`, which
`GroupedData.transformWithState` runs. See docs/state.md.
"""

from tidemill.functions import (
    approx_count_distinct,
    avg,
    collect_list,
    collect_set,
    count,
    countDistinct,
    first,
    last,
    max,
    min,
    session_window,
    sum,
    window,
    window_time,
)
from tidemill.state import (
    ExpiredTimerInfo,
    GroupState,
    GroupStateTimeout,
    ListState,
    MapState,
    StatefulProcessor,
    StatefulProcessorHandle,
    TimerValues,
    ValueState,
)
from tidemill.udf import Aggregate, udaf

__all__ = [
    "Aggregate",
    "ExpiredTimerInfo",
    "GroupState",
    "GroupStateTimeout",
    "ListState",
    "MapState",
    "StatefulProcessor",
    "StatefulProcessorHandle",
    "TimerValues",
    "ValueState",
    "approx_count_distinct",
    "avg",
    "collect_list",
    "collect_set",
    "count",
    "countDistinct",
    "first",
    "last",
    "max",
    "min",
    "session_window",
    "sum",
    "udaf",
    "window",
    "window_time",
]
