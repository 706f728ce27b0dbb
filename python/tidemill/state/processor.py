"""What a stateful processor is and what it can keep. PySpark's names and meanings (``pyspark.sql.streaming``).

State belongs in state variables: they are saved with every epoch and come back after a restart, also one with another
parallelism. What a processor keeps in its own attributes does not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from tidemill.errors import PySparkRuntimeError, PySparkTypeError, PySparkValueError, wrong_type
from tidemill.types import StructType, to_ddl


class TimerValues:
    """The instants an epoch goes by, in milliseconds."""

    def __init__(self, currentProcessingTimeInMs: int = -1, currentWatermarkInMs: int = -1) -> None:
        self._processing_time = currentProcessingTimeInMs
        self._watermark = currentWatermarkInMs

    def getCurrentProcessingTimeInMs(self) -> int:
        """The epoch's own instant, the same when the epoch runs again."""
        return self._processing_time

    def getCurrentWatermarkInMs(self) -> int:
        """The watermark."""
        return self._watermark


class ExpiredTimerInfo:
    """The timer that is due."""

    def __init__(self, expiryTimeInMs: int = -1) -> None:
        self._expiry = expiryTimeInMs

    def getExpiryTimeInMs(self) -> int:
        """When it was set to, in milliseconds."""
        return self._expiry


class _Variable:
    """A state variable: where it is, and the partition's state while the processor is called."""

    def __init__(self, handle: StatefulProcessorHandle, number: int, name: str) -> None:
        self._handle = handle
        self._number = number
        self._name = name

    @property
    def _state(self) -> Any:
        return self._handle._state_of(self._name)

    def exists(self) -> bool:
        """True when there is something for the key."""
        return self._state.exists(self._number)

    def clear(self) -> None:
        """Removes what there is for the key."""
        self._state.clear(self._number)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._name}>"


class ValueState(_Variable):
    """One value a key."""

    def get(self) -> Any:
        """The value as a Row (a tuple with names), or None."""
        return self._state.value(self._number)

    def update(self, newValue: Any) -> None:
        """Sets the value: a tuple, Row or dict with a value for each field."""
        self._state.set_value(self._number, _plain(newValue))


class ListState(_Variable):
    """A list a key."""

    def get(self) -> Iterator[Any]:
        """The values, in order."""
        return iter(self._state.list(self._number))

    def put(self, newState: Iterable[Any]) -> None:
        """Sets the whole list."""
        self._state.append(self._number, [_plain(value) for value in newState], True)

    def appendValue(self, newState: Any) -> None:
        """Puts a value at the end."""
        self._state.append(self._number, [_plain(newState)], False)

    def appendList(self, newState: Iterable[Any]) -> None:
        """Puts values at the end."""
        self._state.append(self._number, [_plain(value) for value in newState], False)


class MapState(_Variable):
    """A map a key. Keys and values are tuples, Rows or dicts; iteration is in the order of the map's keys."""

    def getValue(self, key: Any) -> Any:
        """The value under a key of the map, or None."""
        return self._state.map_value(self._number, _plain(key))

    def containsKey(self, key: Any) -> bool:
        """True when the map has the key."""
        return self.getValue(key) is not None

    def updateValue(self, key: Any, value: Any) -> None:
        """Sets the value under a key of the map."""
        self._state.set_map_value(self._number, _plain(key), _plain(value))

    def iterator(self) -> Iterator[tuple[Any, Any]]:
        """Keys and values of the map."""
        return iter(self._state.map(self._number))

    def keys(self) -> Iterator[Any]:
        """Keys of the map."""
        return iter([key for key, _ in self._state.map(self._number)])

    def values(self) -> Iterator[Any]:
        """Values of the map."""
        return iter([value for _, value in self._state.map(self._number)])

    def removeKey(self, key: Any) -> None:
        """Takes a key out of the map; nothing happens when it is not there."""
        self._state.remove_map_key(self._number, _plain(key))


class StatefulProcessorHandle:
    """Declares the state variables in `init`, and sets timers when rows are handled."""

    def __init__(self, time_mode: str) -> None:
        self._time_mode = time_mode.lower()
        self._state: Any = None
        self._open = True
        self.variables: list[tuple[str, str, str | None, str, int | None]] = []
        self.dropped: list[str] = []

    def getValueState(self, stateName: str, schema: StructType | str, ttlDurationMs: int | None = None) -> ValueState:
        """A variable with one value a key.

        Args:
            stateName: finds what is saved of it after a restart.
            schema: the fields of its values. After a restart fields may have been added and numbers widened.
            ttlDurationMs: how long a value is kept after it was last written; for good when left out.
        """
        return ValueState(self, self._declared("value", stateName, None, schema, ttlDurationMs), stateName)

    def getListState(self, stateName: str, schema: StructType | str, ttlDurationMs: int | None = None) -> ListState:
        """A variable with a list a key. With a TTL each value of the list expires by itself."""
        return ListState(self, self._declared("list", stateName, None, schema, ttlDurationMs), stateName)

    def getMapState(
        self,
        stateName: str,
        userKeySchema: StructType | str,
        valueSchema: StructType | str,
        ttlDurationMs: int | None = None,
    ) -> MapState:
        """A variable with a map a key. With a TTL each entry of the map expires by itself."""
        return MapState(self, self._declared("map", stateName, userKeySchema, valueSchema, ttlDurationMs), stateName)

    def registerTimer(self, expiryTimestampMs: int) -> None:
        """Sets a timer of the key: `handleExpiredTimer` is called in the first epoch whose instant (time mode
        ``processingTime``) or watermark (``eventTime``) has reached it."""
        self._timers().register_timer(int(expiryTimestampMs))

    def deleteTimer(self, expiryTimestampMs: int) -> None:
        """Takes a timer of the key away; nothing happens when there is none."""
        self._timers().delete_timer(int(expiryTimestampMs))

    def listTimers(self) -> Iterator[int]:
        """The timers of the key, in order."""
        return iter(self._timers().timers())

    def deleteIfExists(self, stateName: str) -> None:
        """Lets the saved state of a variable go that an earlier version of the processor declared. In `init` only."""
        if not self._open:
            raise PySparkRuntimeError(
                "deleteIfExists belongs in init()",
                "STATEFUL_PROCESSOR_CANNOT_PERFORM_OPERATION_WITH_INVALID_HANDLE_STATE",
            )
        self.dropped.append(stateName)

    def _declared(self, kind: str, name: str, key: Any, value: Any, ttl: int | None) -> int:
        if not isinstance(name, str) or not name:
            raise wrong_type("stateName", "a name", name)
        if ttl is not None and (not isinstance(ttl, int) or isinstance(ttl, bool)):
            raise wrong_type("ttlDurationMs", "milliseconds as an int", ttl)
        if not self._open:
            raise PySparkRuntimeError(
                f"the state variable '{name}' is declared outside init()\n  = help: declare it in init() and keep it in "
                "an attribute of the processor",
                "STATEFUL_PROCESSOR_CANNOT_PERFORM_OPERATION_WITH_INVALID_HANDLE_STATE",
            )
        self.variables.append((kind, name, None if key is None else _ddl(key), _ddl(value), ttl))
        return len(self.variables) - 1

    def _timers(self) -> Any:
        if self._time_mode == "none":
            raise PySparkRuntimeError(
                "there are no timers in the time mode none\n  = help: use the time mode processingTime or eventTime",
                "STATEFUL_PROCESSOR_CANNOT_PERFORM_OPERATION_WITH_INVALID_TIME_MODE",
            )
        return self._state_of("timers")

    def _state_of(self, what: str) -> Any:
        if self._state is None:
            raise PySparkRuntimeError(
                f"{what}: there is no key to look at\n  = help: state is there while rows, timers or the initial state "
                "are handled",
                "STATEFUL_PROCESSOR_CANNOT_PERFORM_OPERATION_WITH_INVALID_HANDLE_STATE",
            )
        return self._state


class StatefulProcessor:
    """Subclass it, and give an instance to `GroupedData.transformWithState`.

    A copy of the instance is made for each partition and lives as long as the query runs.
    """

    def init(self, handle: StatefulProcessorHandle) -> None:
        """Declares the state variables: ``self.count = handle.getValueState("count", "n int")``."""
        raise NotImplementedError

    def handleInputRows(self, key: Any, rows: Iterator[Any], timerValues: TimerValues) -> Iterator[Any]:
        """Handles the rows of one key that came in an epoch.

        Args:
            key: the key, a tuple.
            rows: Rows with all columns (transformWithState), or pandas DataFrames (transformWithStateInPandas).
            timerValues: the epoch's instant and the watermark.

        Returns:
            What comes out, of the same kind as `rows`.
        """
        raise NotImplementedError

    def handleExpiredTimer(
        self, key: Any, timerValues: TimerValues, expiredTimerInfo: ExpiredTimerInfo
    ) -> Iterator[Any]:
        """Handles a timer that is due; the timer is gone afterwards."""
        return iter([])

    def handleInitialState(self, key: Any, initialState: Any, timerValues: TimerValues) -> None:
        """Handles one row (pandas: all rows) of the initial state, before everything else in the first epoch."""

    def close(self) -> None:
        """The query has ended."""


def _ddl(schema: Any) -> str:
    if isinstance(schema, StructType):
        return to_ddl(schema) if not schema.fields else schema.toDDL()
    if isinstance(schema, str):
        return StructType.fromDDL(schema).toDDL()
    raise wrong_type("schema", "a StructType or DDL such as 'n int, s string'", schema)


def _plain(value: Any) -> Any:
    """A value of the state, with numbers of numpy and times of pandas as Python's own."""
    if value is None:
        raise PySparkTypeError("a state value cannot be None\n  = help: use clear()", "CANNOT_BE_NONE")
    if isinstance(value, dict):
        return value
    if not isinstance(value, (tuple, list)):
        raise PySparkValueError(
            f"a state value is a tuple with a value for each field, not {type(value).__name__}",
            "UNEXPECTED_TUPLE_WITH_STRUCT",
        )
    if any(hasattr(item, "to_pydatetime") or hasattr(item, "to_pytimedelta") for item in value):
        return tuple(_python(item) for item in value)
    return value


def _python(item: Any) -> Any:
    for name in ("to_pydatetime", "to_pytimedelta"):
        if hasattr(item, name):
            return getattr(item, name)()
    return item
