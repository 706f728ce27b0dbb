"""Compares two builds of the program: CPU time a row and state a group, turn by turn over the same events.

    compare.py --before PATH --after PATH [--events N] [--turns N] [--only w1,w3] [--out DIR]

The turns go before, after, before, after, ...; a turn is a whole process, its answers are checked against DuckDB, and the
median counts. State is what the progress reports say where it was largest. Prints a table and writes compare.json.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import answers
import inputs
from measure import Measured, adopt_orphans, measure

HERE = Path(__file__).resolve().parent


@dataclass
class State:
    """The state of a query where it was largest."""

    groups: int
    bytes: int


class Compare:
    """One comparison."""

    def __init__(self, asked: argparse.Namespace) -> None:
        self.asked, self.out = asked, asked.out
        self.data = inputs.events(asked.before, self.out, asked.events)
        self.programs: dict[str, Path] = {"before": asked.before, "after": asked.after}

    def command(self, program: Path, pipeline: str, folder: Path, progress: str = "off") -> list[str]:
        """`tidemill run` of a pipeline."""
        path = HERE / "pipelines" / f"{pipeline}.sql"
        return inputs.run_command(program, path, folder / "checkpoint", "--progress", progress)

    def environment(self, folder: Path) -> dict[str, str]:
        """Where a pipeline reads and writes."""
        return os.environ | {"DATA": str(self.data), "OUT": str(folder)}

    def turn(self, which: str, workload: str) -> Measured:
        """One run, its answer checked."""
        folder = inputs.fresh(self.out / f"{which}-{workload}")
        command = self.command(self.programs[which], workload, folder)
        took = measure(command, folder / "log.txt", self.environment(folder))
        answers.check(workload, self.data, folder / "data", answers.Kind())
        return took

    def state(self, which: str, workload: str) -> State:
        """The state where it held most groups; of several operators the sum."""
        folder = inputs.fresh(self.out / f"{which}-{workload}-state")
        command = self.command(self.programs[which], workload, folder, "json")
        done = subprocess.run(command, env=self.environment(folder), capture_output=True, text=True, check=True)
        found = State(0, 0)
        for line in filter(None, map(str.strip, (done.stdout + done.stderr).splitlines())):
            if line.startswith("{") and '"stateOperators"' in line:
                operators = json.loads(line)["stateOperators"]
                groups = sum(operator["numRowsTotal"] for operator in operators)
                if groups > found.groups:
                    found = State(groups, sum(operator["memoryUsedBytes"] for operator in operators))
        return found

    def workload(self, workload: str) -> list[dict]:
        """Both builds, turn by turn."""
        took: dict[str, list[Measured]] = {"before": [], "after": []}
        for _ in range(self.asked.turns):
            for which, runs in took.items():
                runs.append(self.turn(which, workload))
        rows = []
        for which, runs in took.items():
            state = self.state(which, workload)
            cpu = statistics.median(run.cpu_seconds for run in runs)
            rows.append(
                {
                    "workload": workload,
                    "build": which,
                    "cpu_us_per_row": round(cpu / self.asked.events * 1e6, 3),
                    "seconds": round(statistics.median(run.seconds for run in runs), 2),
                    "peak_mib": round(statistics.median(run.peak_bytes for run in runs) / 2**20),
                    "groups": state.groups,
                    "state_bytes_per_group": round(state.bytes / max(state.groups, 1), 1),
                    "turns": self.asked.turns,
                }
            )
        return rows


def main() -> int:
    """Compares what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path, required=True)
    parser.add_argument("--after", type=Path, required=True)
    parser.add_argument("--events", type=int, default=2_000_000)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--only", default="w1,w3")
    parser.add_argument("--out", type=Path, default=HERE / "out" / "compare")
    asked = parser.parse_args()
    asked.before, asked.after, asked.out = asked.before.resolve(), asked.after.resolve(), asked.out.resolve()
    asked.out.mkdir(parents=True, exist_ok=True)
    adopt_orphans()
    compare = Compare(asked)
    rows = [row for workload in asked.only.split(",") for row in compare.workload(workload)]
    (asked.out / "compare.json").write_text(json.dumps(rows, indent=1) + "\n")
    print(f"{asked.events:,} events, {asked.turns} turns each\n")
    print(f"{'workload':<10}{'build':<8}{'CPU us/row':>12}{'seconds':>9}{'peak':>10}{'groups':>12}{'bytes/group':>13}")
    for row in rows:
        print(
            f"{row['workload']:<10}{row['build']:<8}{row['cpu_us_per_row']:>12}{row['seconds']:>9}"
            f"{row['peak_mib']:>6} MiB{row['groups']:>12,}{row['state_bytes_per_group']:>13}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
