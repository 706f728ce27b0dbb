"""Time from an event to its committed result, at a steady rate.

A feeder drops a file of events every so many milliseconds, each event carrying the time it was due. An
observer, the same for every engine, notes when a reader can first trust a published file: for Tidemill
when its manifest is there, for Spark when its batch is in `_spark_metadata`. Nothing is taken from what
an engine says of itself.
"""

import json
import os
import re
import signal
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path

RATE = 10_000
POLL_SECONDS = 0.001
SETTLE_SECONDS = 5.0
START_SECONDS_MAX = 90.0
TYPES = ("page_view", "click", "add_cart", "purchase", "search", "login", "logout", "share")
CREATED = re.compile(rb'"created_ms":(\d+)')


@dataclass
class Latency:
    """Milliseconds from an event's due time to its published result."""

    rows: int
    p50: float
    p95: float
    p99: float
    most: float


class Feeder(threading.Thread):
    """Drops a file every interval, whole and under a new name."""

    def __init__(self, folder: Path, seconds: float, interval: float) -> None:
        super().__init__(daemon=True)
        self.folder, self.seconds, self.interval = folder, seconds, interval
        self.started = 0.0

    def run(self) -> None:
        """Feeds until the time is over."""
        a_file = round(RATE * self.interval)
        self.started = time.time()
        for number in range(round(self.seconds / self.interval)):
            due = self.started + (number + 1) * self.interval
            times = (due - self.interval * (1 - (at + 1) / a_file) for at in range(a_file))
            lines = [event(number * a_file + at, when) for at, when in enumerate(times)]
            hidden = self.folder / f".{number:06}"
            hidden.write_text("".join(lines))
            time.sleep(max(0.0, due - time.time()))
            hidden.rename(self.folder / f"{number:06}.json")


def event(number: int, due: float) -> str:
    """One event, due at `due` seconds since 1970."""
    milliseconds = int(due * 1000)
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(due)) + f".{milliseconds % 1000:03}Z"
    return (
        f'{{"event_id":"{number:016x}","user_id":"u{number * 48_271 % 100_000:06}","session_id":"s{number % 9_973:07x}",'
        f'"event_type":"{TYPES[number * 7 % 8]}","duration":{number % 120}.5,"amount":{number % 1000}.25,'
        f'"timestamp":"{stamp}","created_ms":{milliseconds}}}\n'
    )


class TidemillPublished:
    """Files named by manifests, which are numbered without a gap."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.log, self.next = folder, folder / "_tidemill" / "log", 0

    def new_files(self) -> list[Path]:
        """Files published since the last call."""
        found: list[Path] = []
        while (manifest := self.log / f"{self.next:020}.json").exists():
            self.next += 1
            found += [self.folder / file["name"] for file in json.loads(manifest.read_bytes())["files"]]
        return found


class SparkPublished:
    """Files named by the batches of a streaming file sink."""

    def __init__(self, folder: Path) -> None:
        self.log, self.next, self.seen = folder / "_spark_metadata", 0, set()

    def new_files(self) -> list[Path]:
        """Files published since the last call."""
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


@dataclass
class Load:
    """What is fed: `warm` seconds that do not count, then `seconds` that do; a file every `interval` seconds."""

    warm: float
    seconds: float
    interval: float


def run(command: list[str], env: dict[str, str], work: Path, published, load: Load) -> Latency:
    """Measures one engine.

    Raises:
        RuntimeError: it ended early, or published nothing.
    """
    data = work / "data"
    data.mkdir(parents=True)
    feeder = Feeder(data, load.warm + load.seconds, load.interval)
    with (work / "log.txt").open("wb") as log:
        process = subprocess.Popen(
            command, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    try:
        wait_until_ready(process, work)
        feeder.start()
        seen = observe(process, published, feeder)
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    return percentiles(seen, (feeder.started + load.warm) * 1000)


def wait_until_ready(process: subprocess.Popen, work: Path) -> None:
    """Spark says `ready`; Tidemill has made its folder for results."""
    deadline = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"ended with code {process.returncode}:\n{(work / 'log.txt').read_text()[-2000:]}")
        if (work / "out" / "data" / "_tidemill" / "log").exists() or "ready" in (work / "log.txt").read_text():
            time.sleep(2.0)
            return
        time.sleep(0.1)
    raise RuntimeError("did not start")


def observe(process: subprocess.Popen, published, feeder: Feeder) -> list[tuple[Path, float]]:
    """Published files with the time, in milliseconds since 1970, at which they were seen."""
    seen: list[tuple[Path, float]] = []
    end: float | None = None
    while end is None or time.monotonic() < end:
        if process.poll() is not None:
            raise RuntimeError(f"ended early with code {process.returncode}")
        now = time.time() * 1000
        seen += [(path, now) for path in published.new_files()]
        if end is None and not feeder.is_alive():
            end = time.monotonic() + SETTLE_SECONDS
        time.sleep(POLL_SECONDS)
    return seen


def percentiles(seen: list[tuple[Path, float]], since: float) -> Latency:
    """Over every row whose event was due after `since`."""
    waits: list[float] = []
    for path, at in seen:
        waits += [at - due for due in map(int, CREATED.findall(path.read_bytes())) if due >= since]
    if not waits:
        raise RuntimeError("nothing was published after the warm-up")
    waits.sort()
    at = lambda share: round(waits[min(len(waits) - 1, int(len(waits) * share))], 1)  # noqa: E731
    return Latency(len(waits), at(0.5), at(0.95), at(0.99), round(waits[-1], 1))
