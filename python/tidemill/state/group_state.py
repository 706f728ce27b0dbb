"""State as `applyInPandasWithState` has it: one value a key and one timeout, in PySpark's words
(``pyspark.sql.streaming.state``)."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator
from typing import Any

from tidemill.errors import PySparkRuntimeError, PySparkTypeError, PySparkValueError, wrong_type
from tidemill.state.processor import ExpiredTimerInfo, StatefulProcessor, StatefulProcessorHandle, TimerValues
from tidemill.types import StructType


class GroupStateTimeout:
    """What timeouts go by."""

    NoTimeout: str = "NoTimeout"
    ProcessingTimeTimeout: str = "ProcessingTimeTimeout"
    EventTimeTimeout: str = "EventTimeTimeout"


TIME_MODES = {
    GroupStateTimeout.NoTimeout: "none",
    GroupStateTimeout.ProcessingTimeTimeout: "processingTime",
    GroupStateTimeout.EventTimeTimeout: "eventTime",
}
"""The engine's word for each."""


class GroupState:
    """The state of one key while the function is called."""

    NO_TIMESTAMP: int = -1

    def __init__(self, value: Any, times: TimerValues, timeout: str, timed_out: bool, has_watermark: bool) -> None:
        self._value = value
        self._times = times
        self._timeout = timeout
        self._timed_out = timed_out
        self._has_watermark = has_watermark
        self._changed = False
        self._timeout_timestamp: int | None = None

    @property
    def exists(self) -> bool:
        """True when there is a state."""
        return self._value is not None

    @property
    def get(self) -> tuple[Any, ...]:
        """The state.

        Raises:
            PySparkValueError: there is none.
        """
        if self._value is None:
            raise PySparkValueError("there is no state for this key yet, or it was removed", "STATE_NOT_EXISTS")
        return tuple(self._value)

    @property
    def getOption(self) -> tuple[Any, ...] | None:
        """The state, or None."""
        return None if self._value is None else tuple(self._value)

    @property
    def hasTimedOut(self) -> bool:
        """True when the function is called because the key's timeout has passed."""
        return self._timed_out

    def update(self, newValue: Any) -> None:
        """Sets the state: a tuple with a value for each field."""
        if newValue is None:
            raise PySparkTypeError("argument `newValue` cannot be None; use remove()", "CANNOT_BE_NONE")
        self._value = tuple(newValue)
        self._changed = True

    def remove(self) -> None:
        """Removes the state."""
        self._value = None
        self._changed = True

    def setTimeoutDuration(self, durationMs: int) -> None:
        """Calls the function again when no row of the key has come for so many milliseconds."""
        if isinstance(durationMs, str) or not isinstance(durationMs, int):
            raise wrong_type("durationMs", "milliseconds as an int", durationMs)
        self._expect(GroupStateTimeout.ProcessingTimeTimeout, "setTimeoutDuration")
        if durationMs <= 0:
            raise PySparkValueError(f"durationMs is {durationMs}, and must be above 0", "VALUE_NOT_POSITIVE")
        self._timeout_timestamp = durationMs + self._times.getCurrentProcessingTimeInMs()

    def setTimeoutTimestamp(self, timestampMs: int | datetime.datetime) -> None:
        """Calls the function again when the watermark has passed an instant, in milliseconds."""
        self._expect(GroupStateTimeout.EventTimeTimeout, "setTimeoutTimestamp")
        if isinstance(timestampMs, datetime.datetime):
            zone = timestampMs.tzinfo or datetime.timezone.utc
            timestampMs = int(timestampMs.replace(tzinfo=zone).timestamp() * 1000)
        if timestampMs <= 0:
            raise PySparkValueError(f"timestampMs is {timestampMs}, and must be above 0", "VALUE_NOT_POSITIVE")
        watermark = self._times.getCurrentWatermarkInMs()
        if timestampMs < watermark:
            raise PySparkValueError(
                f"the timeout timestamp {timestampMs} is before the watermark {watermark}", "INVALID_TIMEOUT_TIMESTAMP"
            )
        self._timeout_timestamp = int(timestampMs)

    def getCurrentWatermarkMs(self) -> int:
        """The watermark, in milliseconds.

        Raises:
            PySparkRuntimeError: the rows have none.
        """
        if not self._has_watermark:
            raise PySparkRuntimeError(
                "the rows have no watermark\n  = help: declare it with withWatermark before the grouping",
                "CANNOT_WITHOUT",
            )
        return self._times.getCurrentWatermarkInMs()

    def getCurrentProcessingTimeMs(self) -> int:
        """The epoch's own instant, in milliseconds."""
        return self._times.getCurrentProcessingTimeInMs()

    def _expect(self, timeout: str, method: str) -> None:
        if self._timeout != timeout:
            raise PySparkRuntimeError(
                f"{method} needs the timeoutConf {timeout}, and it is {self._timeout}", "CANNOT_WITHOUT"
            )

    def __str__(self) -> str:
        return f"GroupState({self.get})" if self.exists else "GroupState(<undefined>)"


class GroupFunction(StatefulProcessor):
    """A function of `applyInPandasWithState` as a processor: one value, and at most one timer a key."""

    def __init__(
        self,
        function: Callable[[Any, Iterator[Any], GroupState], Iterator[Any]],
        state: StructType,
        timeout: str,
        columns: list[str],
        has_watermark: bool,
    ) -> None:
        self._function = function
        self._schema = state
        self._timeout = timeout
        self._columns = columns
        self._has_watermark = has_watermark

    def init(self, handle: StatefulProcessorHandle) -> None:
        """One variable."""
        self._handle = handle
        self._state = handle.getValueState("groupState", self._schema)

    def handleInputRows(self, key: Any, rows: Iterator[Any], timerValues: TimerValues) -> Iterator[Any]:
        """Calls the function; a timeout that was set before holds no longer."""
        self._drop_timeout()
        return self._called(key, rows, timerValues, timed_out=False)

    def handleExpiredTimer(
        self, key: Any, timerValues: TimerValues, expiredTimerInfo: ExpiredTimerInfo
    ) -> Iterator[Any]:
        """Calls the function without rows."""
        import pandas

        self._handle.deleteTimer(expiredTimerInfo.getExpiryTimeInMs())
        empty = pandas.DataFrame({name: [] for name in self._columns})
        return self._called(key, iter([empty]), timerValues, timed_out=True)

    def _drop_timeout(self) -> None:
        if self._timeout != GroupStateTimeout.NoTimeout:
            for timer in self._handle.listTimers():
                self._handle.deleteTimer(timer)

    def _called(self, key: Any, rows: Iterator[Any], times: TimerValues, *, timed_out: bool) -> Iterator[Any]:
        group = GroupState(self._state.get(), times, self._timeout, timed_out, self._has_watermark)
        # the function may be a generator: the state is what it has made of it at its end
        out = list(self._function(key, rows, group) or ())
        if group._changed and group._value is None:
            self._state.clear()
        elif group._changed:
            self._state.update(group._value)
        if group._timeout_timestamp is not None:
            self._handle.registerTimer(group._timeout_timestamp)
        return iter(out)
