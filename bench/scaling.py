#!/usr/bin/env python3
"""How cost grows: with rows, keys, overlap of windows, partitions, size of state, number of queries.

    scaling.py --program PATH [--only overlap,keys] [--events N] [--runs N] [--quick] [--out DIR]

A curve is a list of points, each the median of whole runs: seconds, CPU seconds, peak memory. Written to DIR/scaling.json,
of which report.py draws docs/benchmarks/*.svg and says why each slope is what it is.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE / "state")]

from measure import Measured, adopt_orphans  # noqa: E402
from suite import Suite  # noqa: E402

PIPELINES = HERE / "pipelines"
OVERLAPS = (1, 2, 3, 5, 10, 20, 30, 60)
HOUR_MINUTES = 60
PARTITIONS = (1, 2, 4, 8)
QUERIES = (1, 2, 4, 8, 16)
EPOCH_ROWS, EPOCHS = 10_000, 10
PAYLOAD_BYTES = 100


class Scaling:
    """One run."""

    def __init__(self, asked: argparse.Namespace) -> None:
        self.asked, self.suite = asked, Suite(asked)
        self.curves: dict[str, dict[str, list[dict]]] = {}

    def point(self, curve: str, line: str, x: float, path: Path, data: Path, *options: str, **env: str) -> None:
        """The medians of some runs at one place."""
        runs = [self.pipeline(path, data, *options, **env) for _ in range(self.asked.runs)]
        median = lambda of: statistics.median(of(run) for run in runs)  # noqa: E731
        self.add(
            curve,
            line,
            x=x,
            seconds=round(median(lambda run: run.seconds), 3),
            cpu_seconds=round(median(lambda run: run.cpu_seconds), 3),
            peak_mib=round(median(lambda run: run.peak_bytes) / 2**20),
        )

    def add(self, curve: str, line: str, **figures: float) -> None:
        """A point; what is measured is kept even if what follows fails."""
        self.curves.setdefault(curve, {}).setdefault(line, []).append(figures)
        print(f"{curve:<12}{line:<20}" + "  ".join(f"{name} {value:,}" for name, value in figures.items()), flush=True)
        result = {**self.suite.head, "curves": self.curves}
        (self.asked.out / "scaling.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")

    def pipeline(self, path: Path, data: Path, *options: str, **env: str) -> Measured:
        """A whole run."""
        folder = self.suite.fresh("scaling")
        return self.suite.tidemill(path, folder, {"DATA": str(data), "OUT": str(folder)} | env, *options)

    def rows(self) -> None:
        """W1 and W3 over more and more of the same kind of events."""
        for share in (16, 8, 4, 2, 1):
            events = max(1000, self.asked.events // share)
            data = self.suite.events(events)
            for name in ("w1", "w3"):
                self.point("rows", name, events, PIPELINES / f"{name}.sql", data)

    def keys(self) -> None:
        """W1 over as many events of more and more users."""
        for users in (100, 1_000, 10_000, 100_000, 1_000_000):
            data = self.suite.events(self.asked.events // 4, users=users)
            self.point("keys", "w1", users, PIPELINES / "w1.sql", data)

    def overlap(self) -> None:
        """An hour's window that slides by an hour down to a minute; few groups, and a group a user."""
        data = self.suite.events(self.asked.events // 4, users=10_000)
        for overlap in OVERLAPS:
            for key in ("event_type", "user_id"):
                env = {"KEY": key, "SLIDE": str(HOUR_MINUTES // overlap)}
                path = PIPELINES / "scaling" / "overlap.sql"
                self.point("overlap", f"by {key}", overlap, path, data, **env)

    def partitions(self) -> None:
        """W1 and W3 with more and more partitions, on the cores that there are."""
        data = self.suite.events(self.asked.events // 2)
        for partitions in PARTITIONS:
            for name in ("w1", "w3"):
                option = ("--set", f"parallelism={partitions}")
                path = PIPELINES / f"{name}.sql"
                self.point("partitions", name, partitions, path, data, *option)

    def state(self) -> None:
        """Epochs that change 10,000 keys of more and more: what an epoch takes."""
        import feed
        from process import Program

        sizes = (1_000, 10_000) if self.asked.quick else (10_000, 100_000, 1_000_000, 5_000_000)
        for keys in sizes:
            for backend in ("memory", "rocksdb"):
                work = self.suite.fresh("scaling-state")
                program = Program(self.asked.program, work, state_backend=backend)
                feed.first(program.data, keys, PAYLOAD_BYTES)
                program.to_the_end()
                feed.some(program.data, keys, min(keys, EPOCH_ROWS), PAYLOAD_BYTES, EPOCHS)
                run = program.to_the_end()
                took = [epoch["durationMs"]["triggerExecution"] for epoch in run.epochs if epoch["numInputRows"]]
                milliseconds = round(statistics.median(took), 2)
                self.add("state", backend, x=keys, epoch_ms=milliseconds, peak_mib=round(run.peak_bytes / 2**20))

    def queries(self) -> None:
        """More and more queries of one pipeline over the same events."""
        data = self.suite.events(self.asked.events // 8)
        for count in QUERIES[:2] if self.asked.quick else QUERIES:
            path = self.asked.out / "queries.sql"
            path.write_text(queries_sql(count), encoding="utf-8")
            self.point("queries", "w3", count, path, data)


def queries_sql(count: int) -> str:
    """W3 with as many results, each of other rows."""
    head, insert = (PIPELINES / "w3.sql").read_text(encoding="utf-8").split("CREATE TABLE results", 1)
    table, query = insert.split("INSERT INTO results", 1)
    parts = [head]
    for number in range(count):
        parts.append(f"CREATE TABLE results_{number}" + table.replace("/data'", f"/data-{number}'"))
        parts.append(
            f"INSERT INTO results_{number}" + query.replace("FROM events", f"FROM events WHERE duration > {number}")
        )
    return "".join(parts)


CURVES = ("rows", "keys", "overlap", "partitions", "state", "queries")


def main() -> int:
    """Measures what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", type=Path, required=True)
    parser.add_argument("--only", default=",".join(CURVES))
    parser.add_argument("--events", type=int, default=4_000_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="small inputs, one run: does it work?")
    parser.add_argument("--out", type=Path, default=HERE / "out")
    asked = parser.parse_args()
    asked.program, asked.out = asked.program.resolve(), asked.out.resolve()
    asked.out.mkdir(parents=True, exist_ok=True)
    if asked.quick:
        asked.events, asked.runs = 16_000, 1
    adopt_orphans()
    scaling = Scaling(asked)
    for name in CURVES:
        if name in asked.only.split(","):
            getattr(scaling, name)()
    return 0


if __name__ == "__main__":
    sys.exit(main())
