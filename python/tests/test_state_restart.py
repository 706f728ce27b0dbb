"""State survives: restarts, other parallelism, SIGKILL at any moment, and changes of its fields that lose nothing."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time

import pytest
from feeding import Feed
from tidemill.errors import AnalysisException
from tidemill.session import Session
from tidemill.state import StatefulProcessor

EPOCHS = [
    [("a", 1, "01"), ("b", 2, "02"), ("c", 3, "03")],
    [("a", 4, "05"), ("d", 5, "04")],
    [("b", 6, "20"), ("a", 7, "21")],
    [("e", 8, "22"), ("c", 9, "40")],
    [("a", 10, "50")],
]


class Everything(StatefulProcessor):
    """All kinds of state, and a timer a key."""

    def init(self, handle):
        self.handle = handle
        self.value = handle.getValueState("value", "n INT, s STRING")
        self.list = handle.getListState("list", "v INT")
        self.map = handle.getMapState("map", "p INT", "times ARRAY<INT>")

    def handleInputRows(self, key, rows, timerValues):
        for row in rows:
            before = self.value.get() or (0, "")
            self.value.update((before[0] + row.v, before[1] + key[0]))
            self.list.appendValue((row.v,))
            times = self.map.getValue((row.v % 2,)) or ([],)
            self.map.updateValue((row.v % 2,), ([*times[0], row.v],))
            self.handle.registerTimer(int(row.ts.timestamp() * 1000) + 3000)
        yield (key[0], str((self.value.get(), [*self.list.get()], [*self.map.iterator()])))

    def handleExpiredTimer(self, key, timerValues, expiredTimerInfo):
        yield (key[0], f"timer {[*self.list.get()]} {[*self.handle.listTimers()]}")
        self.list.put([*self.list.get()][1:])
        self.map.removeKey((1,))


def everything(frame):
    return frame.groupBy("k").transformWithState(Everything(), "k STRING, s STRING", "append", "eventTime")


def test_the_same_comes_out_over_restarts_and_with_other_parallelism(tmp_path):
    with Session(settings={"parallelism": "1"}) as spark:
        straight = Feed(spark, tmp_path / "straight", "1 second")
        straight.run(everything, EPOCHS)
    feed = None
    for number, rows in enumerate(EPOCHS):
        # a snapshot after every epoch in the second half, the log alone in the first
        settings = {"parallelism": str(1 + number % 3), "snapshot_bytes": "1" if number > 2 else "1000000"}
        with Session(settings=settings) as spark:
            if feed is None:
                feed = Feed(spark, tmp_path / "restarted", "1 second")
            feed._spark = spark
            query = feed.start(everything)
            feed.put(*rows)
            query.processAllAvailable()
            query.stop()

    # an epoch without rows that was due when the query stopped runs with the next rows, as in Spark
    def of(epochs):
        return sorted(row for rows in epochs.values() for row in rows)

    assert [row for row in of(feed.epochs) if "timer" not in row[1]] == [
        row for row in of(straight.epochs) if "timer" not in row[1]
    ]
    timers = [row for row in of(straight.epochs) if "timer" in row[1]]
    assert [row for row in of(feed.epochs) if "timer" in row[1]] == timers
    assert len(timers) > 3


PROGRAM = """
import sys
from tidemill import Session
from tidemill.state import StatefulProcessor

class Numbers(StatefulProcessor):
    def init(self, handle):
        self.count = handle.getValueState("count", "n BIGINT")
        self.seen = handle.getMapState("seen", "v INT", "n BIGINT")

    def handleInputRows(self, key, rows, timerValues):
        for row in rows:
            n = (self.count.get() or (0,))[0] + 1
            self.count.update((n,))
            assert not self.seen.containsKey((row.v,)), "a row has come twice"
            self.seen.updateValue((row.v,), (n,))
            yield (key[0], row.v, n)

source, checkpoint, sink, parallelism = sys.argv[1:]
spark = Session(settings={"parallelism": parallelism, "snapshot_bytes": "20000"})
frame = spark.readStream.schema("k STRING, v INT").option("maxFilesPerTrigger", 1).json(source)
frame = frame.groupBy("k").transformWithState(Numbers(), "k STRING, v INT, n BIGINT", "append", "none")
writer = frame.writeStream.format("parquet").option("checkpointLocation", checkpoint)
writer.trigger(availableNow=True).start(sink).awaitTermination()
print("done")
"""


def test_state_is_exact_when_the_program_is_killed_at_any_moment(tmp_path):
    import pyarrow.dataset

    source, files, rows = tmp_path / "in", 40, 50
    source.mkdir()
    for number in range(files):
        lines = [f'{{"k": "{value % 7}", "v": {value}}}' for value in range(number * rows, number * rows + rows)]
        (source / f"{number:03}.json").write_text("\n".join(lines))
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance, kills, until, done = random.Random(seed), 0, time.monotonic() + 150, False
    sink = tmp_path / "out"
    while not done and time.monotonic() < until:
        arguments = [str(source), str(tmp_path / "checkpoint"), str(sink), str(1 + kills % 3)]
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        try:
            before = _published(sink)
            while kills < 3 and process.poll() is None and _published(sink) <= before:
                time.sleep(0.005)
            if kills < 3 and process.poll() is None:
                time.sleep(chance.uniform(0, 0.05))
                process.kill()
            out, error = process.communicate(timeout=120)
        finally:
            process.kill()
        done = b"done" in out
        assert done or process.returncode == -9, error.decode()
        kills += not done
    assert done and kills > 0
    table = pyarrow.dataset.dataset([str(path) for path in sink.rglob("*.parquet")]).to_table().to_pylist()
    assert sorted(row["v"] for row in table) == list(range(files * rows))
    for row in table:
        assert row["n"] == row["v"] // 7 + 1


def _published(sink):
    return sum(len(names) for _, _, names in os.walk(sink))


class Versioned(StatefulProcessor):
    """A processor with one variable, whose declaration is given."""

    def __init__(self, declare):
        self._declare = declare

    def init(self, handle):
        self.state = self._declare(handle)

    def handleInputRows(self, key, rows, timerValues):
        rows = [*rows]
        before = self.state.get()
        names = before._names() if before is not None else ()
        if rows[0].v >= 0:
            self.state.update({"n": rows[0].v, "s": "text", "deep": {"x": 1}})
        yield (key[0], str(dict(zip(names, before or (), strict=True))))


OLD = "n INT, s STRING, deep STRUCT<x: INT>"


def value(schema, name="state"):
    return lambda handle: handle.getValueState(name, schema)


def versions(tmp_path, first, then):
    """What the second version of a processor finds of the state of the first."""
    with Session() as spark:
        feed = Feed(spark, tmp_path)
        for number, declare in enumerate((first, then)):
            processor = Versioned(declare)

            def build(frame, processor=processor):
                return frame.groupBy("k").transformWithState(processor, "k STRING, s STRING", "append", "none")

            query = feed.start(build)
            feed.put(("a", 5 if number == 0 else -1, "01"))
            query.processAllAvailable()
            query.stop()
        return feed.epochs[max(feed.epochs)][0][1]


@pytest.mark.parametrize(
    ("schema", "found"),
    [
        (OLD, "{'n': 5, 's': 'text', 'deep': Row(x=1)}"),
        # a field more, at the end, in front, and inside
        ("n INT, s STRING, deep STRUCT<x: INT>, more DATE", "{'n': 5, 's': 'text', 'deep': Row(x=1), 'more': None}"),
        ("more INT, n INT, s STRING, deep STRUCT<x: INT, y: STRING>",
         "{'more': None, 'n': 5, 's': 'text', 'deep': Row(x=1, y=None)}"),
        # another order, wider numbers
        ("s STRING, deep STRUCT<x: BIGINT>, n BIGINT", "{'s': 'text', 'deep': Row(x=1), 'n': 5}"),
        ("n DOUBLE, s STRING, deep STRUCT<x: DOUBLE>", "{'n': 5.0, 's': 'text', 'deep': Row(x=1.0)}"),
    ],
)  # fmt: skip
def test_fields_may_be_added_and_numbers_widened(tmp_path, schema, found):
    assert versions(tmp_path, value(OLD), value(schema)) == found


@pytest.mark.parametrize(
    ("then", "told"),
    [
        (value("n SMALLINT, s STRING, deep STRUCT<x: INT>"), ["'n'", "was INT and is now SMALLINT", "add a field"]),
        (value("n STRING, s STRING, deep STRUCT<x: INT>"), ["'n'", "was INT and is now STRING"]),
        (value("number INT, s STRING, deep STRUCT<x: INT>"), ["'n' of", "no longer there", "renamed"]),
        (value("n INT, s STRING, deep STRUCT<y: INT>"), ["'deep.x'", "no longer there"]),
        (value(OLD, "other"), ["'state'", "no longer declared", "deleteIfExists"]),
        (lambda handle: handle.getListState("state", OLD), ["was a ValueState and is now a ListState"]),
    ],
    ids=["narrowed", "other type", "renamed", "renamed inside", "variable renamed", "kind"],
)
def test_what_would_lose_state_is_refused(tmp_path, then, told):
    with pytest.raises(AnalysisException) as refused:
        versions(tmp_path, value(OLD), then)
    for part in [*told, "foreach_batch/process", "= help:"]:
        assert part in str(refused.value)


def test_a_variable_may_be_let_go(tmp_path):
    def then(handle):
        handle.deleteIfExists("state")
        return handle.getValueState("other", OLD)

    assert versions(tmp_path, value(OLD), then) == "{}"


def test_other_keys_are_refused(tmp_path):
    with Session() as spark:
        feed = Feed(spark, tmp_path)
        for number, key in enumerate(("k", "v")):

            def build(frame, key=key):
                return frame.groupBy(key).transformWithState(
                    Versioned(value(OLD)), "k STRING, s STRING", "append", "none"
                )

            if number == 1:
                with pytest.raises(AnalysisException, match=r"it was by \[in\.k\] and is now by \[in\.v\]"):
                    feed.start(build)
                return
            feed.start(build).stop()
