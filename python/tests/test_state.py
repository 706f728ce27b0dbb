"""Arbitrary state: what each method does, with the rows PySpark 4.3 gave for the same programs."""

from __future__ import annotations

import datetime
import time

import pandas as pd
import pytest
from feeding import Feed, ms
from tidemill import Row
from tidemill import functions as F
from tidemill.errors import AnalysisException, StreamingQueryException
from tidemill.session import Session
from tidemill.state import StatefulProcessor


@pytest.fixture(params=["1", "4"], ids=["one partition", "four partitions"])
def spark(request):
    with Session(settings={"parallelism": request.param}) as session:
        yield session


class Base(StatefulProcessor):
    def init(self, handle):
        self.handle = handle


class Count(Base):
    def init(self, handle):
        self.count = handle.getValueState("count", "n INT, last STRING")

    def handleInputRows(self, key, rows, timerValues):
        before = self.count.get()[0] if self.count.exists() else 0
        seen = [row.v for row in rows]
        self.count.update((before + len(seen), str(seen)))
        yield Row(k=key[0], n=before + len(seen), seen=str(seen))

    def handleInitialState(self, key, initialState, timerValues):
        self.count.update((initialState.n, f"began {key}"))


TWO = [[("a", 1, "01"), ("b", 2, "02"), ("a", 3, "03"), (None, 9, "03")], [("a", 4, "05"), (None, 1, "06")]]


def with_state(processor, schema, mode="append", time_mode="none", **more):
    return lambda frame: frame.groupBy("k").transformWithState(processor, schema, mode, time_mode, **more)


@pytest.mark.parametrize("mode", ["append", "update"])
def test_one_value(spark, tmp_path, mode):
    feed = Feed(spark, tmp_path)
    progress = feed.run(with_state(Count(), "k STRING, n INT, seen STRING", mode), TWO, mode)
    assert feed.epochs == {
        0: [("a", 2, "[1, 3]"), ("b", 1, "[2]"), (None, 1, "[9]")],
        1: [("a", 3, "[4]"), (None, 2, "[1]")],
    }
    state = progress["stateOperators"][0]
    assert (state["operatorName"], state["numRowsTotal"], state["numRowsUpdated"]) == (
        "transformWithStateInPySparkExec", 3, 2,
    )  # fmt: skip


class ListAndMap(Base):
    def init(self, handle):
        self.list = handle.getListState("list", "x INT")
        self.map = handle.getMapState("map", "mk STRING", "mv INT, w DOUBLE")

    def handleInputRows(self, key, rows, timerValues):
        out = [self.list.exists(), self.map.exists(), [*self.list.get()]]
        for row in rows:
            self.list.appendValue((row.v,))
            self.map.updateValue((f"m{row.v % 3}",), (row.v, row.v / 2))
        self.list.appendList([(100,), (101,)])
        out += [
            [*self.list.get()],
            self.map.containsKey(("m1",)),
            self.map.getValue(("m1",)),
            self.map.getValue(("z",)),
        ]
        out += [[*self.map.iterator()], [*self.map.keys()], [*self.map.values()]]
        self.map.removeKey(("m2",))
        self.map.removeKey(("absent",))
        out.append(self.map.exists())
        if len([*self.list.get()]) > 6:
            self.list.put([(7,)])
            self.map.clear()
            out += [[*self.list.get()], self.map.exists()]
        OUT.append(out)
        yield (key[0], len(out))


OUT: list = []


def test_lists_and_maps(spark, tmp_path):
    OUT.clear()
    epochs = [[("a", 1, "01"), ("a", 2, "02")], [("a", 4, "05")], [("a", 1, "06")]]
    Feed(spark, tmp_path).run(with_state(ListAndMap(), "k STRING, n INT"), epochs)
    assert OUT == [
        [False, False, [], [(1,), (2,), (100,), (101,)], True, (1, 0.5), None,
         [(("m1",), (1, 0.5)), (("m2",), (2, 1.0))], [("m1",), ("m2",)], [(1, 0.5), (2, 1.0)], True],
        [True, True, [(1,), (2,), (100,), (101,)], [(1,), (2,), (100,), (101,), (4,), (100,), (101,)], True, (4, 2.0),
         None, [(("m1",), (4, 2.0))], [("m1",)], [(4, 2.0)], True, [(7,)], False],
        [True, False, [(7,)], [(7,), (1,), (100,), (101,)], True, (1, 0.5), None, [(("m1",), (1, 0.5))], [("m1",)],
         [(1, 0.5)], True],
    ]  # fmt: skip


class Timers(Base):
    def handleInputRows(self, key, rows, timerValues):
        for row in rows:
            self.handle.registerTimer(int(row.ts.timestamp() * 1000) + row.v * 1000)
            yield (key[0], f"row {row.v}", timerValues.getCurrentWatermarkInMs(), [*self.handle.listTimers()])

    def handleExpiredTimer(self, key, timerValues, expiredTimerInfo):
        at = expiredTimerInfo.getExpiryTimeInMs()
        yield (key[0], f"expired {at}", timerValues.getCurrentWatermarkInMs(), [*self.handle.listTimers()])
        if key[0] == "r":
            self.handle.registerTimer(at + 1000)


TIMERS = "k STRING, s STRING, watermark BIGINT, timers ARRAY<BIGINT>"


def test_timers_of_event_time_and_late_rows(spark, tmp_path):
    feed = Feed(spark, tmp_path, "5 seconds")
    epochs = [
        [("a", 5, "10"), ("a", 5, "10"), ("b", 0, "20")],
        [("a", 0, "12"), ("c", -30, "21"), ("r", -30, "21")],
        [("a", 1, "30"), ("old", 1, "02")],
        [("x", 100, "40")],
    ]
    feed.run(with_state(Timers(), TIMERS, time_mode="eventtime"), epochs)
    fired = {number: [row for row in rows if row[1].startswith("expired")] for number, rows in feed.epochs.items()}
    rows = {number: [row for row in rows if row[1].startswith("row")] for number, rows in feed.epochs.items()}

    def due(key, second, watermark):
        return (key, f"expired {ms(second)}", ms(watermark), [ms(second)])

    assert fired == {
        0: [],
        1: [due("a", 15, 15)],
        2: [due("c", -9, 15), due("r", -9, 15)],
        3: [due("r", -8, 16)],
        4: [due("r", -7, 16)],
        5: [due("b", 20, 25), due("r", -6, 25)],
        6: [due("r", -5, 25)],
        7: [due("a", 31, 35), due("r", -4, 35)],
    }
    assert rows == {
        0: [("a", "row 5", 0, [ms(15)]), ("a", "row 5", 0, [ms(15)]), ("b", "row 0", 0, [ms(20)])],
        1: [],
        2: [("c", "row -30", ms(15), [ms(-9)]), ("r", "row -30", ms(15), [ms(-9)])],
        3: [],
        4: [("a", "row 1", ms(16), [ms(31)])],
        5: [],
        6: [("x", "row 100", ms(25), [ms(140)])],
        7: [],
    }


class Deletes(Timers):
    def handleInputRows(self, key, rows, timerValues):
        for row in rows:
            if row.v < 0:
                self.handle.deleteTimer(ms(-row.v))
                self.handle.deleteTimer(5)
            else:
                self.handle.registerTimer(ms(row.v))
            yield (key[0], str(row.v), 0, [*self.handle.listTimers()])


def test_timers_can_be_taken_away(spark, tmp_path):
    feed = Feed(spark, tmp_path, "0 seconds")
    epochs = [[("a", 15, "01"), ("a", 16, "01"), ("a", -15, "01")], [("b", 99, "30")], [("b", 98, "31")]]
    feed.run(with_state(Deletes(), TIMERS, time_mode="eventTime"), epochs)
    assert feed.epochs == {
        0: [("a", "-15", 0, [ms(16)]), ("a", "15", 0, [ms(15)]), ("a", "16", 0, [ms(15), ms(16)])],
        1: [],
        2: [("b", "99", 0, [ms(99)])],
        3: [("a", f"expired {ms(16)}", ms(30), [ms(16)])],
        4: [("b", "98", 0, [ms(98), ms(99)])],
        5: [],
    }


class Ticks(Base):
    def handleInputRows(self, key, rows, timerValues):
        self.handle.registerTimer(timerValues.getCurrentProcessingTimeInMs() + 300)
        yield (key[0], f"rows {len([*rows])}")

    def handleExpiredTimer(self, key, timerValues, expiredTimerInfo):
        assert timerValues.getCurrentProcessingTimeInMs() >= expiredTimerInfo.getExpiryTimeInMs()
        yield (key[0], "expired")


def test_timers_of_processing_time_fire_without_rows(spark, tmp_path):
    feed = Feed(spark, tmp_path)
    query = feed.start(with_state(Ticks(), "k STRING, s STRING", time_mode="processingTime"))
    feed.put(("a", 1, "01"), ("a", 2, "01"))
    until = time.monotonic() + 20
    while len(feed.epochs) < 2 and time.monotonic() < until:
        time.sleep(0.02)
    query.stop()
    assert feed.epochs == {0: [("a", "rows 2")], 1: [("a", "expired")]}


class Kept(Base):
    def init(self, handle):
        self.value = handle.getValueState("value", "n INT", 400)
        self.list = handle.getListState("list", "n INT", 400)
        self.map = handle.getMapState("map", "k STRING", "n INT", 400)
        self.ever = handle.getValueState("ever", "n INT")

    def handleInputRows(self, key, rows, timerValues):
        seen = (self.value.get(), len([*self.list.get()]), len([*self.map.iterator()]), self.ever.get())
        for row in rows:
            self.value.update((row.v,))
            self.list.appendValue((row.v,))
            self.map.updateValue((str(row.v),), (row.v,))
            self.ever.update((row.v,))
        yield (key[0], str(seen))


def test_what_has_a_ttl_goes_and_the_rest_stays(spark, tmp_path):
    feed = Feed(spark, tmp_path)
    query = feed.start(with_state(Kept(), "k STRING, s STRING", time_mode="processingTime"))
    for pause, rows in ((0, [("a", 1, "01")]), (0, [("a", 2, "01")]), (0.6, [("a", 3, "01")])):
        time.sleep(pause)
        feed.put(*rows)
        query.processAllAvailable()
    query.stop()
    assert feed.epochs[0] == [("a", "(None, 0, 0, None)")]
    # under load the second epoch may be late
    assert feed.epochs[1][0][1] in ("(Row(n=1), 1, 1, Row(n=1))", "(None, 0, 0, Row(n=1))")
    assert feed.epochs[2] == [("a", "(None, 0, 0, Row(n=2))")]


def test_an_initial_state_comes_first(spark, tmp_path):
    feed = Feed(spark, tmp_path)
    first = spark.createDataFrame([("a", 100), ("zz", 5)], "k STRING, n INT").groupBy("k")
    progress = feed.run(with_state(Count(), "k STRING, n INT, seen STRING", initialState=first), TWO)
    assert feed.epochs == {
        0: [("a", 102, "[1, 3]"), ("b", 1, "[2]"), (None, 1, "[9]")],
        1: [("a", 103, "[4]"), (None, 2, "[1]")],
    }
    assert progress["stateOperators"][0]["numRowsTotal"] == 4


class Pass(Base):
    def handleInputRows(self, key, rows, timerValues):
        for row in rows:
            yield Row(k=key[0], t=row.ts, n=row.v)


def test_windows_over_what_comes_out(spark, tmp_path):
    feed = Feed(spark, tmp_path, "5 seconds")
    processed = with_state(Pass(), "k STRING, t TIMESTAMP, n INT", time_mode="eventtime", eventTimeColumnName="t")
    epochs = [[("a", 5, "10"), ("a", 5, "12")], [("a", 7, "30")], [("a", 7, "45")]]
    feed.run(lambda frame: processed(frame).groupBy(F.window("t", "10 seconds")).agg(F.sum("n")), epochs)
    assert {number: [row[1] for row in rows] for number, rows in feed.epochs.items() if rows} == {3: [10], 5: [7]}


class Old(Base):
    def handleInputRows(self, key, rows, timerValues):
        for row in rows:
            yield Row(k=key[0], t=row.ts - datetime.timedelta(days=1), n=row.v)


def test_event_times_that_come_out_are_not_behind_the_watermark(spark, tmp_path):
    feed = Feed(spark, tmp_path, "5 seconds")
    processed = with_state(Old(), "k STRING, t TIMESTAMP, n INT", time_mode="eventtime", eventTimeColumnName="t")
    with pytest.raises(StreamingQueryException) as refused:
        feed.run(processed, [[("a", 5, "10")], [("a", 7, "30")]])
    assert refused.value.getCondition() == "EMITTING_ROWS_OLDER_THAN_WATERMARK_NOT_ALLOWED"


class ByWindow(Base):
    def handleInputRows(self, key, rows, timerValues):
        yield (key[0].start.second, key[1], key[2], sum(row.v for row in rows))


def test_keys_that_are_computed(spark, tmp_path):
    feed = Feed(spark, tmp_path)
    odd = F.udf(lambda v: v % 2 == 1, "boolean")
    feed.run(
        lambda frame: frame.groupBy(F.window("ts", "10 seconds", "5 seconds"), "k", odd("v")).transformWithState(
            ByWindow(), "second INT, k STRING, odd BOOLEAN, total INT", "append", "none"
        ),
        [[("a", 1, "07"), ("a", 3, "08"), ("a", 2, "09")], [("b", 5, "12")]],
    )
    assert feed.epochs == {
        0: [(0, "a", False, 2), (0, "a", True, 4), (5, "a", False, 2), (5, "a", True, 4)],
        1: [(10, "b", True, 5), (5, "b", True, 5)],
    }


class InPandas(Base):
    def init(self, handle):
        self.sum = handle.getValueState("sum", "s BIGINT")

    def handleInputRows(self, key, rows, timerValues):
        total = (self.sum.get() or (0,))[0] + sum(int(frame.v.sum()) for frame in rows)
        self.sum.update((total,))
        yield pd.DataFrame({"total": [total], "k": [key[0]]})


def test_processors_of_pandas(spark, tmp_path):
    feed = Feed(spark, tmp_path)
    feed.run(
        lambda frame: frame.groupBy("k").transformWithStateInPandas(
            InPandas(), "k STRING, total BIGINT", "append", "none"
        ),
        TWO,
    )
    assert feed.epochs == {0: [("a", 4), ("b", 2), (None, 9)], 1: [("a", 8), (None, 10)]}


class Raises(Base):
    def handleInputRows(self, key, rows, timerValues):
        raise ValueError("no good")


class Twice(Base):
    def init(self, handle):
        handle.getValueState("n", "n INT")
        handle.getValueState("n", "n INT")


@pytest.mark.parametrize(
    ("processor", "mode", "time_mode", "error", "condition"),
    [
        (Raises(), "append", "none", StreamingQueryException, "PYTHON_EXCEPTION"),
        (Timers(), "append", "none", StreamingQueryException, "PYTHON_EXCEPTION"),
        (Twice(), "append", "none", AnalysisException, "STATEFUL_PROCESSOR_DUPLICATE_STATE_VARIABLE_DEFINED"),
        (Kept(), "append", "none", AnalysisException, "STATEFUL_PROCESSOR_INCORRECT_TIME_MODE_TO_ASSIGN_TTL"),
        (Pass(), "append", "never", AnalysisException, "STATEFUL_PROCESSOR_UNKNOWN_TIME_MODE"),
        (Pass(), "sometimes", "none", AnalysisException, "STREAMING_OUTPUT_MODE.INVALID"),
    ],
)
def test_refusals(spark, tmp_path, processor, mode, time_mode, error, condition):
    with pytest.raises(error) as refused:
        Feed(spark, tmp_path).run(with_state(processor, "k STRING, s STRING", mode, time_mode), TWO)
    assert refused.value.getCondition() == condition
