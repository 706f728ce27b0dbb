"""Time from an event to its committed result, at a steady rate.

A feeder hands over events every so many milliseconds, each event carrying the time it was due. An observer, the same for
every engine, notes when a reader can first trust a published file: for Tidemill when its manifest is there, for Spark
when its batch is in `_spark_metadata`, for Flink when the file has its name, for a Delta table when its log names it.
Nothing is taken from what an engine says of itself.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy

POLL_SECONDS = 0.001
SETTLE_SECONDS = 10.0
START_SECONDS_MAX = 90.0
SETTLED_SECONDS = 2.0
TYPES = ("page_view", "click", "add_cart", "purchase", "search", "login", "logout", "share")
CREATED = re.compile(rb'"created_ms":(\d+)')
# heads of events are made before the time counts, and used again and again
HEADS = 60_000


@dataclass(frozen=True)
class Load:
    """Events a second; `warm` seconds that do not count, then `seconds` that do; a portion every `interval` seconds."""

    rate: int
    warm: float
    seconds: float
    interval: float


@dataclass
class Latency:
    """Milliseconds from an event's due time to its published result; and how the engine kept up."""

    results: int
    p50: float
    p95: float
    p99: float
    p999: float
    most: float
    # share of the results that were not there seconds after the last event: the engine fell behind
    missing: float


class Feeder(threading.Thread):
    """Hands over a portion every interval."""

    def __init__(self, load: Load) -> None:
        super().__init__(daemon=True)
        self.load, self.started, self.late = load, 0.0, 0.0
        self.heads = [head(number) for number in range(HEADS)]

    def run(self) -> None:
        """Feeds until the time is over."""
        load = self.load
        portion = round(load.rate * load.interval)
        self.started = time.time()
        for number in range(round((load.warm + load.seconds) / load.interval)):
            due = self.started + (number + 1) * load.interval
            events = self.portion(number * portion, portion, due)
            self.prepare(number, events)
            time.sleep(max(0.0, due - time.time()))
            self.late = max(self.late, time.time() - due)
            self.hand_over(number, events)

    def portion(self, first: int, count: int, due: float) -> list[bytes]:
        """The events of the interval that ends at `due`, joined by the millisecond: those of one are due together."""
        begins, ends = (due - self.load.interval) * 1000, due * 1000
        moments = max(1, round(ends - begins))
        chunks = []
        for moment in range(moments):
            start, end = first + count * moment // moments, first + count * (moment + 1) // moments
            tail_ = tail(int(begins + moment + 1))
            at = start % HEADS
            heads = self.heads[at : at + end - start]
            heads += self.heads[: end - start - len(heads)]
            if heads:
                chunks.append(tail_.join(heads) + tail_)
        return chunks

    def prepare(self, number: int, events: list[bytes]) -> None:
        """What can be done before they are due."""

    def hand_over(self, number: int, events: list[bytes]) -> None:
        """Makes them visible."""
        raise NotImplementedError


class FileFeeder(Feeder):
    """A file every interval, whole and under a new name."""

    def __init__(self, folder: Path, load: Load) -> None:
        super().__init__(load)
        self.folder = folder
        folder.mkdir(parents=True)

    def prepare(self, number: int, events: list[bytes]) -> None:
        (self.folder / f".{number:06}").write_bytes(b"".join(events))

    def hand_over(self, number: int, events: list[bytes]) -> None:
        (self.folder / f".{number:06}").rename(self.folder / f"{number:06}.json")


class KafkaFeeder(Feeder):
    """A record an event."""

    def __init__(self, brokers: str, topic: str, load: Load) -> None:
        from confluent_kafka import Producer

        super().__init__(load)
        self.topic = topic
        self.producer = Producer(
            {"bootstrap.servers": brokers, "linger.ms": 1, "queue.buffering.max.messages": 1_000_000}
        )

    def run(self) -> None:
        super().run()
        self.producer.flush()

    def hand_over(self, number: int, events: list[bytes]) -> None:
        for chunk in events:
            for event in chunk.splitlines():
                self.producer.produce(self.topic, event)
        self.producer.poll(0)


def head(number: int) -> bytes:
    """An event without its times."""
    return (
        f'{{"event_id":"{number:016x}","user_id":"u{number * 48_271 % 100_000:06}","session_id":"s{number % 9_973:07x}",'
        f'"event_type":"{TYPES[number * 7 % 8]}","duration":{number % 120}.5,"amount":{number % 1000}.25,'
    ).encode()


def tail(milliseconds: int) -> bytes:
    """Its times, and the end of its line."""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(milliseconds // 1000)) + f".{milliseconds % 1000:03}Z"
    return f'"timestamp":"{stamp}","created_ms":{milliseconds}}}\n'.encode()


class Published(Protocol):
    """What a reader of one engine's results may trust."""

    def new_files(self) -> list[Path]:
        """Files published since the last call."""

    def ready(self) -> bool:
        """True when the engine has begun."""


class TidemillPublished:
    """Files named by manifests, which are numbered without a gap."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.log, self.next = folder, folder / "_tidemill" / "log", 0

    def ready(self) -> bool:
        return self.log.exists()

    def new_files(self) -> list[Path]:
        found: list[Path] = []
        while (manifest := self.log / f"{self.next:020}.json").exists():
            self.next += 1
            found += [self.folder / file["name"] for file in json.loads(manifest.read_bytes())["files"]]
        return found


class DeltaPublished:
    """Files named by the log of a Delta table."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.log, self.next = folder, folder / "_delta_log", 0

    def ready(self) -> bool:
        return self.log.exists()

    def new_files(self) -> list[Path]:
        found: list[Path] = []
        while (commit := self.log / f"{self.next:020}.json").exists():
            self.next += 1
            actions = map(json.loads, commit.read_text(encoding="utf-8").splitlines())
            # a file that was made of others brings no rows
            found += [self.folder / one["add"]["path"] for one in actions if one.get("add", {}).get("dataChange")]
        return found


class SparkPublished:
    """Files named by the batches of a streaming file sink."""

    def __init__(self, folder: Path) -> None:
        self.log, self.next, self.seen = folder / "_spark_metadata", 0, set()

    def ready(self) -> bool:
        return False

    def new_files(self) -> list[Path]:
        found: list[Path] = []
        while True:
            batch = next((path for path in self._names() if path.exists()), None)
            if batch is None:
                return found
            self.next += 1
            for line in batch.read_text().splitlines():
                path = json.loads(line)["path"].removeprefix("file://") if line.startswith("{") else None
                if path and path not in self.seen:
                    self.seen.add(path)
                    found.append(Path(path))

    def _names(self) -> tuple[Path, Path]:
        return self.log / str(self.next), self.log / f"{self.next}.compact"


class FlinkPublished:
    """Files that have got their name; before that it begins with a dot."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.seen = folder, set()

    def ready(self) -> bool:
        return False

    def new_files(self) -> list[Path]:
        if not self.folder.exists():
            return []
        found = [path for path in self.folder.iterdir() if path.name[0] not in "._" and path.name not in self.seen]
        self.seen.update(path.name for path in found)
        return found


def run(
    command: list[str], env: dict[str, str], work: Path, published: Published, feeder: Feeder, share: float = 0.0
) -> Latency:
    """Measures one engine; `share`: results an event, 0 if it cannot be known.

    Raises:
        RuntimeError: it ended early, or published nothing.
    """
    with (work / "log.txt").open("wb") as log:
        process = subprocess.Popen(
            command, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    try:
        wait_until_ready(process, work, published)
        feeder.start()
        seen = observe(process, published, feeder)
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    expected = round(feeder.load.rate * feeder.load.seconds * share)
    return percentiles(seen, (feeder.started + feeder.load.warm) * 1000, expected)


def wait_until_ready(process: subprocess.Popen, work: Path, published: Published) -> None:
    """A peer says `ready`; Tidemill has made its folder for results."""
    deadline = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"ended with code {process.returncode}:\n{(work / 'log.txt').read_text()[-2000:]}")
        if published.ready() or "ready" in (work / "log.txt").read_text(errors="replace").splitlines():
            time.sleep(SETTLED_SECONDS)
            return
        time.sleep(0.1)
    raise RuntimeError("did not start")


def observe(process: subprocess.Popen, published: Published, feeder: Feeder) -> list[tuple[Path, float]]:
    """Published files with the time, in milliseconds since 1970, at which they were seen."""
    seen: list[tuple[Path, float]] = []
    end: float | None = None
    while end is None or time.monotonic() < end:
        if process.poll() is not None:
            raise RuntimeError(f"ended early with code {process.returncode}")
        files = published.new_files()
        now = time.time() * 1000
        seen += [(path, now) for path in files]
        if end is None and not feeder.is_alive():
            end = time.monotonic() + SETTLE_SECONDS
        time.sleep(POLL_SECONDS)
    return seen


def due_times(path: Path) -> numpy.ndarray:
    """When the events of a result file were due."""
    if path.suffix == ".parquet":
        import pyarrow.parquet

        return pyarrow.parquet.ParquetFile(path).read(["created_ms"])["created_ms"].to_numpy()
    return numpy.array([int(due) for due in CREATED.findall(path.read_bytes())], dtype=numpy.int64)


def percentiles(seen: list[tuple[Path, float]], since: float, expected: int) -> Latency:
    """Over every result whose event was due after `since`."""
    parts = []
    for path, at in seen:
        due = due_times(path)
        parts.append(at - due[due >= since])
    waits = numpy.sort(numpy.concatenate(parts)) if parts else numpy.array([])
    if not len(waits):
        raise RuntimeError("nothing was published after the warm-up")
    at = lambda share: round(float(waits[min(len(waits) - 1, int(len(waits) * share))]), 1)  # noqa: E731
    missing = round(max(0.0, 1 - len(waits) / expected), 3) if expected else 0.0
    return Latency(len(waits), at(0.5), at(0.95), at(0.99), at(0.999), round(float(waits[-1]), 1), missing)
