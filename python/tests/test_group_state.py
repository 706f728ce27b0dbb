"""`applyInPandasWithState`: the rows PySpark 4.3 gave for the same programs."""

from __future__ import annotations

import time

import pandas as pd
import pytest
from feeding import Feed, ms
from tidemill.errors import AnalysisException, PySparkValueError
from tidemill.state import GroupStateTimeout


def apply(func, timeout=GroupStateTimeout.NoTimeout, mode="append"):
    return lambda frame: frame.groupBy("k").applyInPandasWithState(
        func, "k STRING, s STRING", "n INT, t STRING", mode, timeout
    )


def one(key, text):
    return pd.DataFrame({"k": [key[0]], "s": [text]})


def counted(key, frames, state):
    values = [int(v) for frame in frames for v in frame["v"]]
    before, existed = state.getOption, state.exists
    if existed and values == [99]:
        state.remove()
    else:
        state.update(((state.get[0] if existed else 0) + len(values), "x"))
    yield one(key, f"{values} {before} {existed} {state.hasTimedOut} {state.getOption}")


def test_one_value_a_key(spark, tmp_path):
    feed = Feed(spark, tmp_path)
    epochs = [[("a", 1, "01"), ("b", 2, "02"), ("a", 3, "03")], [("a", 4, "05")], [("a", 99, "05")], [("a", 5, "05")]]
    progress = feed.run(apply(counted), epochs)
    assert feed.epochs == {
        0: [("a", "[1, 3] None False False (2, 'x')"), ("b", "[2] None False False (1, 'x')")],
        1: [("a", "[4] (2, 'x') True False (3, 'x')")],
        2: [("a", "[99] (3, 'x') True False None")],
        3: [("a", "[5] None False False (1, 'x')")],
    }
    state = progress["stateOperators"][0]
    assert (state["operatorName"], state["numRowsTotal"]) == ("applyInPandasWithState", 2)


def event_time(key, frames, state):
    if state.hasTimedOut:
        text = f"timeout {state.getOption} {state.getCurrentWatermarkMs()} {[len(frame) for frame in frames]}"
        if key[0] == "keep":
            state.update((7, "kept"))
        else:
            state.remove()
        yield one(key, text)
        return
    times = [at for frame in frames for at in frame["ts"]]
    state.update(((state.get[0] if state.exists else 0) + len(times), "x"))
    if key[0] != "never":
        state.setTimeoutTimestamp(int(max(times).timestamp() * 1000) + 5000)
    yield one(key, f"rows {len(times)} {state.getCurrentWatermarkMs()} {state.getOption}")


def test_timeouts_of_event_time(spark, tmp_path):
    feed = Feed(spark, tmp_path, "0 seconds")
    epochs = [
        [("a", 1, "10"), ("keep", 1, "10"), ("never", 1, "10")],
        [("x", 1, "15")],
        [("x", 1, "16"), ("late", 0, "01")],
        [("a", 1, "17")],
        [("x", 1, "59")],
    ]
    feed.run(apply(event_time, GroupStateTimeout.EventTimeTimeout), epochs)
    assert feed.epochs == {
        0: [(key, "rows 1 0 (1, 'x')") for key in ("a", "keep", "never")],
        1: [],
        2: [("x", f"rows 1 {ms(10)} (1, 'x')")],
        3: [],
        4: [("x", f"rows 1 {ms(15)} (2, 'x')")],
        5: [(key, f"timeout (1, 'x') {ms(16)} [0]") for key in ("a", "keep")],
        6: [("a", f"rows 1 {ms(16)} (1, 'x')")],
        7: [],
        8: [("x", f"rows 1 {ms(17)} (3, 'x')")],
        9: [("a", f"timeout (1, 'x') {ms(59)} [0]")],
    }


def processing_time(key, frames, state):
    if state.hasTimedOut:
        before = state.getOption
        state.remove()
        yield one(key, f"timeout {before}")
    else:
        state.update((sum(len(frame) for frame in frames), "x"))
        state.setTimeoutDuration(300)
        yield one(key, "rows")


def test_timeouts_of_processing_time_fire_without_rows(spark, tmp_path):
    feed = Feed(spark, tmp_path)
    query = feed.start(apply(processing_time, GroupStateTimeout.ProcessingTimeTimeout))
    feed.put(("a", 1, "01"), ("a", 1, "02"))
    until = time.monotonic() + 20
    while len(feed.epochs) < 2 and time.monotonic() < until:
        time.sleep(0.02)
    query.stop()
    assert feed.epochs == {0: [("a", "rows")], 1: [("a", "timeout (2, 'x')")]}


@pytest.mark.parametrize(
    ("use", "timeout", "expected"),
    [
        (lambda state: state.get, "NoTimeout", "STATE_NOT_EXISTS"),
        (lambda state: state.update(None), "NoTimeout", "CANNOT_BE_NONE"),
        (lambda state: state.setTimeoutDuration(5), "NoTimeout", "CANNOT_WITHOUT"),
        (lambda state: state.setTimeoutTimestamp(5), "ProcessingTimeTimeout", "CANNOT_WITHOUT"),
        (lambda state: state.setTimeoutTimestamp(0), "EventTimeTimeout", "VALUE_NOT_POSITIVE"),
        (lambda state: state.setTimeoutDuration(-5), "ProcessingTimeTimeout", "VALUE_NOT_POSITIVE"),
        (lambda state: state.setTimeoutDuration("1 day"), "ProcessingTimeTimeout", "NOT_EXPECTED_TYPE"),
        (lambda state: state.getCurrentWatermarkMs(), "NoTimeout", "CANNOT_WITHOUT"),
    ],
)
def test_what_a_state_refuses(spark, tmp_path, use, timeout, expected):
    def function(key, frames, state):
        try:
            use(state)
            yield one(key, "fine")
        except Exception as error:  # noqa: BLE001 - what it is is what is asked
            yield one(key, error.getCondition())

    feed = Feed(spark, tmp_path, "0 seconds" if timeout == "EventTimeTimeout" else None)
    feed.run(apply(function, timeout), [[("a", 1, "10")]])
    assert feed.epochs[0] == [("a", expected)]


def test_what_is_refused_before_it_runs(spark, tmp_path):
    with pytest.raises(AnalysisException) as mode:
        Feed(spark, tmp_path / "mode").run(apply(counted, mode="update"), [])
    assert mode.value.getCondition() == "_LEGACY_ERROR_TEMP_3102"
    with pytest.raises(AnalysisException, match="watermark"):
        Feed(spark, tmp_path / "watermark").run(apply(event_time, GroupStateTimeout.EventTimeTimeout), [])
    with pytest.raises(PySparkValueError, match="timeoutConf"):
        Feed(spark, tmp_path / "timeout").run(apply(counted, "Sometimes"), [])
    with pytest.raises(AnalysisException, match="applyInPandasWithState"):
        Feed(spark, tmp_path / "plain").frame().groupBy("k").applyInPandas(counted, "k STRING")
