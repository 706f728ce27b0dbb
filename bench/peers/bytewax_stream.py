"""W1, W2, W3 on Bytewax, JSON lines out: bytewax_stream.py w1|w2|w3 DATA OUT.

One worker without recovery, the fastest form there is. Its clock is held at the start of the data, so that only the
events' own times move the watermark. At the end of its input it closes every window.
"""

import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

import bytewax.operators as op
import bytewax.operators.windowing as windowing
import orjson
from bytewax.dataflow import Dataflow
from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from bytewax.testing import run_main

READ_BYTES = 64 * 1024
START = datetime(2026, 1, 1, tzinfo=timezone.utc)
MINUTE = timedelta(minutes=1)
KEPT = {"purchase", "add_cart", "search", "click"}


class Lines(StatefulSourcePartition):
    """The files one after the other."""

    def __init__(self, files: list[Path]) -> None:
        self.files, self.open = files, None

    def next_batch(self) -> list[dict]:
        while True:
            if self.open is None:
                if not self.files:
                    raise StopIteration
                self.open = self.files.pop(0).open("rb")
            if lines := self.open.readlines(READ_BYTES):
                return [orjson.loads(line) for line in lines]
            self.open.close()
            self.open = None

    def snapshot(self) -> None:
        return None


class Events(FixedPartitionedSource):
    """One reader."""

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)

    def list_parts(self) -> list[str]:
        return ["0"]

    def build_part(self, step_id: str, for_part: str, resume_state: object) -> Lines:
        return Lines(sorted(self.folder.glob("*.json")))


class File(StatelessSinkPartition):
    """JSON lines."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.open = path.open("wb")

    def write_batch(self, items: list[dict]) -> None:
        self.open.write(b"".join(orjson.dumps(item) + b"\n" for item in items))

    def close(self) -> None:
        self.open.close()


class Out(DynamicSink):
    """A file a worker."""

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)

    def build(self, step_id: str, worker_index: int, worker_count: int) -> File:
        return File(self.folder / f"part-{worker_index}.json")


def time_of(event: dict) -> datetime:
    """Its event time."""
    return datetime.fromisoformat(event["timestamp"].replace("Z", "+00:00"))


def w1(events):
    """Sliding windows by user, the sessions in a set."""

    def fold(group: list, event: dict) -> list:
        group[0] += 1
        group[1].add(event["session_id"])
        group[2] += event["duration"]
        return group

    def merge(one: list, other: list) -> list:
        return [one[0] + other[0], one[1] | other[1], one[2] + other[2]]

    windows = windowing.SlidingWindower(length=5 * MINUTE, offset=MINUTE, align_to=START)
    keyed = op.key_on("key", events, lambda event: event["user_id"])
    folded = windowing.fold_window("fold", keyed, clock(), windows, lambda: [0, set(), 0.0], fold, merge)
    return op.map("row", folded.down, lambda of: row_of_w1(*of))


def row_of_w1(user: str, window: tuple) -> dict:
    """A result row."""
    number, (n, sessions, duration) = window
    return {"user_id": user, "window": number, "n": n, "sessions": len(sessions), "avg_duration": duration / n}


def w2(events):
    """Filter, mask, project."""
    kept = op.filter("keep", events, lambda event: event["event_type"] in KEPT)
    same = ("event_id", "event_type", "duration", "amount", "timestamp")
    return op.map(
        "mask",
        kept,
        lambda event: {name: event[name] for name in same} | {"user_masked": "u***" + event["user_id"][5:7]},
    )


def w3(events):
    """Tumbling windows by type."""

    def fold(group: list, event: dict) -> list:
        group[0] += 1
        group[1] += event["duration"]
        return group

    windows = windowing.TumblingWindower(length=MINUTE, align_to=START)
    keyed = op.key_on("key", events, lambda event: event["event_type"])
    merge = lambda one, other: [one[0] + other[0], one[1] + other[1]]  # noqa: E731
    folded = windowing.fold_window("fold", keyed, clock(), windows, lambda: [0, 0.0], fold, merge)
    return op.map(
        "row",
        folded.down,
        lambda of: {"event_type": of[0], "window": of[1][0], "n": of[1][1][0], "duration": of[1][1][1]},
    )


def clock() -> windowing.EventClock:
    """Events up to ten minutes late are taken."""
    return windowing.EventClock(
        ts_getter=time_of, wait_for_system_duration=10 * MINUTE, now_getter=lambda: START, to_system_utc=lambda _: None
    )


def main(workload: str, data: str, out: str) -> None:
    """Runs one flow."""
    flow = Dataflow("bench")
    rows = {"w1": w1, "w2": w2, "w3": w3}[workload](op.input("in", flow, Events(data)))
    op.output("out", rows, Out(f"{out}/data"))
    run_main(flow)


main(*sys.argv[1:4])
