"""A `tidemill run` process of the demo: started, watched over its HTTP interface, killed or stopped."""

import json
import re
import signal
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

POLL_SECONDS = 0.25
LINE_SECONDS = 2.0
STOP_SECONDS = 60.0


class Worker:
    """One process, and what it says of itself."""

    def __init__(self, program: Path, pipeline: Path, out: Path, env: dict[str, str], listen: str) -> None:
        checkpoint = out / "checkpoints" / pipeline.stem
        command = [str(program), "run", str(pipeline), "--checkpoint", str(checkpoint), "--listen", listen]
        self.process = subprocess.Popen(
            command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.records = 0
        self.is_idle = False
        self.latencies: list[float] = []
        self._address: str | None = None
        self._notes: list[str] = []
        self._tables: list[list[str]] = []
        self._started = self._line_at = time.monotonic()
        self._epoch = -1
        self._listens = listen != "off"
        self._readers = [
            threading.Thread(target=self._read_tables, daemon=True),
            threading.Thread(target=self._read_notes, daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    def _read_tables(self) -> None:
        """Keeps the newest table that the console sink has printed."""
        table: list[str] = []
        for line in self.process.stdout or []:
            line = line.rstrip("\n")
            if line.startswith("Batch:"):
                table = []
                self._tables.append(table)
                del self._tables[:-2]
            elif line.strip("- "):
                table.append(line)

    def _read_notes(self) -> None:
        """Shows what it says beside its results."""
        for line in self.process.stderr or []:
            line = line.rstrip("\n")
            self._notes.append(line)
            del self._notes[:-50]
            found = re.search(r"http://([\w.:\[\]]+)", line)
            if found and self._address is None:
                self._address = found.group(1).rstrip("/")
                print(f"[7/8] monitoring: http://{self._address} while it runs", flush=True)
            elif line and self._listens:
                print(f"    {line}", flush=True)

    def follow(self, done: Callable[[], bool], seconds_max: float) -> None:
        """Shows how it goes until `done()`.

        Raises:
            RuntimeError: it ended by itself, or it took longer than `seconds_max`.
        """

        def look() -> bool:
            self._look()
            return done()

        wait_until(look, seconds_max, self)

    def _look(self) -> None:
        if self._address is None:
            return
        newest = self._newest()
        if newest is None:
            return
        self.records = sum(json_sum(source["endOffset"]) for source in newest["sources"]) or self.records
        latency = newest.get("latencyMs")
        if newest["batchId"] != self._epoch and latency:
            self.latencies.append(latency["p50"])
        self.is_idle = newest["batchId"] == self._epoch
        self._epoch = newest["batchId"]
        now = time.monotonic()
        if now - self._line_at >= LINE_SECONDS:
            self._line_at = now
            print(f"    {line_of(newest, self.records, now - self._started)}", flush=True)

    def _newest(self) -> dict | None:
        """The newest progress report; the fields are Spark's."""
        try:
            queries = self._get("/queries")["queries"]
            reports = self._get(f"/queries/{queries[0]['id']}/progress") if queries else []
        except OSError:
            return None
        with_rows = [report for report in reports if report["numInputRows"] > 0]
        return with_rows[-1] if with_rows else None

    def _get(self, path: str):
        with urllib.request.urlopen(f"http://{self._address}{path}", timeout=5) as answer:
            return json.load(answer)

    def show_table(self) -> None:
        """Prints the newest table that the console sink has shown."""
        whole = [table for table in self._tables if len(table) > 3]
        for line in whole[-1] if whole else []:
            print(f"    {line}")

    def kill(self) -> None:
        """SIGKILL: it has no chance to do anything."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """Ctrl-C: it finishes its epoch, prints its summary and ends.

        Raises:
            RuntimeError: it ended with an error.
        """
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        code = self.process.wait(STOP_SECONDS)
        for reader in self._readers:
            reader.join()
        if code not in (0, -signal.SIGKILL):
            raise RuntimeError(f"the pipeline ended with code {code}:\n" + "\n".join(self._notes[-10:]))

    def fail_if_ended(self) -> None:
        """Raises a RuntimeError with its last words when it is not running any more."""
        code = self.process.poll()
        if code is not None:
            raise RuntimeError(f"the pipeline ended by itself with code {code}:\n" + "\n".join(self._notes[-10:]))


def wait_until(holds: Callable[[], bool], seconds_max: float, worker: Worker) -> None:
    """Waits until `holds()`, while the worker runs.

    Raises:
        RuntimeError: the worker ended, or it took longer than `seconds_max`.
    """
    deadline = time.monotonic() + seconds_max
    while not holds():
        worker.fail_if_ended()
        if time.monotonic() > deadline:
            raise RuntimeError(f"not done after {seconds_max:g} s")
        time.sleep(POLL_SECONDS)


def json_sum(offsets: dict | None) -> int:
    """Records behind the positions of all partitions."""
    return sum((offsets or {}).values())


def line_of(report: dict, records: int, seconds: float) -> str:
    """How it goes, in one line."""
    latency = report.get("latencyMs")
    lag = sum(source["metrics"].get("lag", 0) for source in report["sources"])
    parts = [f"{seconds:4.0f} s", f"epoch {report['batchId']}", f"{records:,} events", f"lag {lag:,}"]
    if latency:
        parts.append(f"latency p50 {latency['p50']:.0f} ms, p99 {latency['p99']:.0f} ms")
    parts.append(f"watermark {report['eventTime'].get('watermark', 'none')[11:19]}")
    return "  ".join(parts)
