"""Calls a processor with the rows of a partition: what the engine knows of a Python processor."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from tidemill.errors import PySparkTypeError
from tidemill.state.processor import ExpiredTimerInfo, StatefulProcessor, StatefulProcessorHandle, TimerValues
from tidemill.types import StructType


class Described:
    """A processor as the engine reads it: `open` gives the runner of a partition."""

    kind = "processor"

    def __init__(self, processor: StatefulProcessor, output: StructType, takes_arrow: bool) -> None:
        self.shown = type(processor).__name__
        self._processor = processor
        self._output = output
        self._takes_arrow = takes_arrow

    def _described(self, names: tuple[str | None, ...] = ()) -> Described:
        return self

    def open(self, time_mode: str) -> Runner:
        """A runner with a copy of the processor, whose state variables are declared."""
        return Runner(copy.copy(self._processor), StatefulProcessorHandle(time_mode), self._output, self._takes_arrow)


class Runner:
    """A processor in one partition."""

    def __init__(
        self, processor: StatefulProcessor, handle: StatefulProcessorHandle, output: StructType, takes_arrow: bool
    ) -> None:
        self._processor = processor
        self._handle = handle
        self._output = output
        self.takes_arrow = takes_arrow
        processor.init(handle)
        handle._open = False
        self.variables = handle.variables
        self.dropped = handle.dropped

    def run(
        self,
        state: Any,
        times: tuple[int, int, int | None],
        rows: Any,
        groups: list[tuple[int, tuple[Any, ...], int, int]],
        initial: Any,
        initial_groups: list[tuple[int, tuple[Any, ...], int, int]] | None,
    ) -> list[Any]:
        """Handles an epoch, and gives what comes out: rows, or arrays of structs.

        Args:
            state: the partition's state.
            times: the epoch's instant, the watermark, and until when timers are due; milliseconds.
            rows: the epoch's rows, grouped by key.
            groups: for each key its number, the key, its first row and the row after its last.
            initial: rows of the initial state, or None.
            initial_groups: their groups.
        """
        self._handle._state = state
        try:
            out: list[Any] = []
            if initial is not None:
                self._first_state(state, times, initial, initial_groups or [])
            given = self._parts(rows)
            values = TimerValues(times[0], times[1])
            for number, key, start, end in groups:
                state.select(number)
                out.extend(self._given(self._processor.handleInputRows(key, given(start, end), values)))
            if times[2] is not None:
                out.extend(self._timers(state, times[2], values))
            return self._result(out)
        finally:
            self._handle._state = None

    def close(self) -> None:
        """The query has ended."""
        self._processor.close()

    def _first_state(self, state: Any, times: tuple[int, int, int | None], rows: Any, groups: list[Any]) -> None:
        given = self._parts(rows)
        for number, key, start, end in groups:
            state.select(number)
            for part in given(start, end):
                self._processor.handleInitialState(key, part, TimerValues(times[0], times[1]))

    def _timers(self, state: Any, until: int, values: TimerValues) -> Iterator[Any]:
        for number, key, expiry in state.due(until):
            state.select(number)
            handled = self._processor.handleExpiredTimer(
                key=key, timerValues=values, expiredTimerInfo=ExpiredTimerInfo(expiry)
            )
            yield from self._given(handled)
            state.select(number)
            state.delete_timer(expiry)

    def _parts(self, rows: Any) -> Any:
        """Gives the rows from one place to another, as the processor takes them."""
        if not self.takes_arrow:
            return lambda start, end: iter(rows[start:end])
        import pandas
        import pyarrow

        from tidemill.udf.arrays import frames_of

        frame: pandas.DataFrame = next(frames_of(iter([pyarrow.table(rows)])))
        return lambda start, end: iter([frame.iloc[start:end].reset_index(drop=True)])

    def _given(self, given: Any) -> Any:
        if given is None:
            return ()
        if not hasattr(given, "__iter__") or isinstance(given, (str, dict)):
            raise PySparkTypeError(
                f"{type(self._processor).__name__} gave a {type(given).__name__}; it gives an iterator, or uses yield",
                "NOT_ITERABLE",
            )
        return given

    def _result(self, out: list[Any]) -> list[Any]:
        if not self.takes_arrow:
            return out
        from tidemill.udf.arrays import from_pandas

        return [from_pandas(frame, self._output) for frame in out if len(frame)]
