"""What every workload uses: the program, the inputs, runs turn by turn, and the rows of the result."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

import answers
import inputs
from engines import CORES, ENGINES, Engine, Job, versions
from measure import Measured, measure

HERE = Path(__file__).resolve().parent


class Suite:
    """One run of the suite; `results.json` is written anew with every row.

    With `--keep` the rows of earlier runs stay, but for those of the workloads that are measured anew.
    """

    def __init__(self, asked: argparse.Namespace) -> None:
        self.asked, self.out, self.program = asked, asked.out, asked.program
        self.workload = ""
        self.rows: list[dict] = []
        self.failed: list[dict] = []
        self.absent: dict[str, str] = {}
        self.earlier: dict = {"runs": [], "rows": [], "failed": [], "absent": {}}
        self.head = {
            "begun": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "command": "bench/bench.py " + " ".join(told(sys.argv[1:])),
            "machine": machine(),
            "versions": versions(),
            "events": asked.events,
            "runs": asked.runs,
        }

    def keep(self, measured: list[str]) -> None:
        """Takes the rows of earlier runs over, but for those of some workloads."""
        path = self.out / "results.json"
        if path.exists():
            found = json.loads(path.read_text(encoding="utf-8"))
            rows = [row for row in found["rows"] if row["of"] not in measured]
            failed = [one for one in found["failed"] if one["of"] not in measured]
            self.earlier = {**found, "rows": rows, "failed": failed}

    def engine(self, name: str) -> Engine | None:
        """An engine that was asked for and can be run here; otherwise its absence is noted."""
        if name != "tidemill" and self.asked.peers is not None and name not in self.asked.peers:
            return None
        if why := ENGINES[name].missing():
            self.absent[name] = why
            return None
        return ENGINES[name]

    def events(self, count: int | None = None, **how: object) -> Path:
        """The input of w1, w2, w3."""
        return inputs.events(self.program, self.out, count or self.asked.events, **how)

    def fresh(self, name: str) -> Path:
        """An empty folder."""
        return inputs.fresh(self.out / name)

    def tidemill(self, pipeline: Path, folder: Path, env: dict[str, str], *options: str) -> Measured:
        """A whole run of a pipeline of ours."""
        command = inputs.run_command(self.program, pipeline, folder / "checkpoint", *options)
        return measure(command, folder / "log.txt", os.environ | env)

    def reports(self, pipeline: Path, folder: Path, env: dict[str, str], *options: str) -> list[dict]:
        """The same, for what it reports of its epochs."""
        command = inputs.run_command(self.program, pipeline, folder / "checkpoint", "--progress", "json", *options)
        done = subprocess.run(command, env=os.environ | env, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"{pipeline.name} ended with code {done.returncode}:\n{done.stderr[-2000:]}")
        lines = (done.stdout + done.stderr).splitlines()
        return [json.loads(line) for line in lines if line.startswith("{") and '"durationMs"' in line]

    def run(
        self, name: str, engine: Engine, workload: str, data: Path, options: dict[str, str] | None = None
    ) -> Measured:
        """One run of one engine over files."""
        folder = self.fresh(f"{workload}-{name}")
        job = Job(self.program, workload, data, folder, options or {})
        env = os.environ | {"DATA": str(data), "OUT": str(folder), "CORES": str(CORES)}
        if engine.environment:
            env["PYSPARK_PYTHON"] = str(Path(os.environ[engine.environment]) / "bin" / "python")
        return measure(engine.command(job), folder / "log.txt", env)

    def turns(self, workload: str, names: list[str], events: int | None = None, query: str | None = None) -> None:
        """Engines turn by turn, A B C A B C; the answer of the first turn is checked; a row of medians each."""
        query = query or workload
        taking: dict[str, tuple[Engine, int, list[Measured]]] = {}
        for name in names:
            engine = self.engine(name)
            if engine and workload in engine.workloads:
                most = engine.events_max.get(workload, sys.maxsize)
                taking[name] = (engine, min(events or self.asked.events, most), [])
        for turn in range(self.asked.runs):
            for name, (engine, count, runs) in list(taking.items()):
                what = f"{workload} on {name}"
                if not self.attempt(what, self.turn, name, engine, query, count, runs) and not runs:
                    del taking[name]
            self.say(f"{workload}: turn {turn + 1} of {self.asked.runs} done")
        for name, (engine, count, runs) in taking.items():
            self.add_runs(workload, name, count, runs, batch=engine.batch, note=engine.note)

    def turn(self, name: str, engine: Engine, query: str, count: int, runs: list[Measured]) -> None:
        """One more run; the answer of the first is checked."""
        data = self.events(count)
        took = self.run(name, engine, query, inputs.in_lanes(data, CORES) if engine.lanes else data)
        if not runs:
            answers.check(query, data, self.out / f"{query}-{name}" / "data", engine.kind)
        runs.append(took)

    def add_runs(self, workload: str, engine: str, events: int, runs: list[Measured], **more: object) -> None:
        """The medians of some runs as a row."""
        median = lambda of: statistics.median(of(run) for run in runs)  # noqa: E731
        seconds, cpu = median(lambda run: run.seconds), median(lambda run: run.cpu_seconds)
        self.add(
            workload,
            engine,
            events=events,
            seconds=round(seconds, 3),
            seconds_of_runs=[round(run.seconds, 3) for run in runs],
            events_per_second=round(events / seconds),
            cpu_seconds_per_million=round(cpu / events * 1e6, 3),
            peak_mib=round(median(lambda run: run.peak_bytes) / 2**20),
            **more,
        )

    def add(self, workload: str, engine: str, **figures: object) -> None:
        """A row; what is measured is kept even if what follows fails."""
        run = len(self.earlier["runs"])
        self.rows.append({"workload": workload, "engine": engine} | figures | {"of": self.workload, "run": run})
        self.write()

    def attempt(self, what: str, action: Callable[..., object], *arguments: object) -> bool:
        """A failure is a line of the result, not the end of the run."""
        try:
            action(*arguments)
        except Exception as failure:  # noqa: BLE001
            self.failed.append({"of": self.workload, "what": what, "why": str(failure).strip()[-1500:]})
            self.say(f"FAILED {what}: {failure}")
            self.write()
            return False
        return True

    def write(self) -> None:
        """`results.json`."""
        earlier = self.earlier
        result = {
            "runs": [*earlier["runs"], self.head],
            "absent": earlier["absent"] | self.absent,
            "failed": [*earlier["failed"], *self.failed],
            "rows": [*earlier["rows"], *self.rows],
        }
        (self.out / "results.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")

    @staticmethod
    def say(text: str) -> None:
        """What a person who waits sees."""
        print(text, flush=True)


def told(arguments: list[str]) -> list[str]:
    """Arguments without the folders of this machine."""
    return [Path(one).name if one.startswith("/") else one for one in arguments]


def machine() -> dict[str, object]:
    """What the figures were made on."""
    processor = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.processor(),
    )
    memory = int(Path("/proc/meminfo").read_text().split()[1]) // 2**20
    return {"processor": processor, "cores": CORES, "memory_gib": memory, "kernel": platform.release().split("-")[0]}
