#!/usr/bin/env python3
"""The suite: Tidemill and what a user would pick instead, in one run on one machine.

    bench.py --program PATH [--only w1,latency] [--peers spark,flink | none] [--events N] [--runs N] [--quick] [--keep]
             [--out DIR]

A workload is a file in workloads/, an engine an entry of engines.py. Engines take turns (A B C A B C); a run is a whole
process with its start and end; medians count; an answer that is wrong is not measured. Prints a table and writes
DIR/results.json, of which report.py makes docs/benchmarks.md. The exit code is 1 when something failed.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from engines import ENGINES  # noqa: E402
from measure import adopt_orphans  # noqa: E402
from suite import Suite  # noqa: E402

WORKLOADS = (
    "w1",
    "w2",
    "w3",
    "kafka_to_kafka",
    "kafka_to_delta",
    "nexmark",
    "decode",
    "epochs",
    "latency",
    "start",
    "memory",
    "state",
    "log",
    "wheel",
)
SHOWN = ("events_per_second", "cpu_seconds_per_million", "peak_mib", "p50", "p99", "p999")


def main() -> int:
    """Runs what was asked for."""
    asked = parse()
    asked.out.mkdir(parents=True, exist_ok=True)
    adopt_orphans()
    suite = Suite(asked)
    if asked.keep:
        suite.keep(asked.only)
    for name in WORKLOADS:
        if name in asked.only:
            suite.workload = name
            suite.attempt(name, importlib.import_module(f"workloads.{name}").run, suite)
    suite.write()
    table(suite)
    return 1 if suite.failed else 0


def parse() -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", type=Path, required=True)
    parser.add_argument("--only", default=",".join(WORKLOADS), help="workloads, with commas between")
    parser.add_argument(
        "--peers", help="engines beside Tidemill, with commas between; none: Tidemill alone; default: all"
    )
    parser.add_argument("--events", type=int, default=5_000_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=30.0, help="how long a latency is measured")
    parser.add_argument("--quick", action="store_true", help="small inputs, one run: are the answers right?")
    parser.add_argument("--keep", action="store_true", help="keep what DIR holds of other workloads")
    parser.add_argument("--wheel", type=Path, default=HERE.parent / "dist", help="folder of the wheel that is weighed")
    parser.add_argument("--out", type=Path, default=HERE / "out")
    asked = parser.parse_args()
    asked.program, asked.out = asked.program.resolve(), asked.out.resolve()
    asked.only = asked.only.split(",")
    asked.peers = None if asked.peers is None else [name for name in asked.peers.split(",") if name != "none"]
    if unknown := [name for name in asked.only if name not in WORKLOADS]:
        parser.error(f"there is no workload {unknown[0]}; there are {', '.join(WORKLOADS)}")
    if unknown := [name for name in asked.peers or [] if name not in ENGINES]:
        parser.error(f"there is no engine {unknown[0]}; there are {', '.join(ENGINES)}")
    if asked.quick:
        asked.events, asked.runs, asked.seconds = min(asked.events, 20_000), 1, min(asked.seconds, 3.0)
    return asked


def table(suite: Suite) -> None:
    """What was found, for a person."""
    print(f"\n{'workload':<24}{'engine':<18}" + "".join(f"{name.split('_')[0]:>12}" for name in SHOWN))
    for row in suite.rows:
        cells = "".join(f"{row[name]:>12,}" if name in row else f"{'':>12}" for name in SHOWN)
        others = {
            name: value for name, value in row.items() if name not in (*SHOWN, "run") and isinstance(value, int | float)
        }
        more = "" if any(name in row for name in SHOWN) else "  ".join(f"{name} {of:,}" for name, of in others.items())
        print(f"{row['workload']:<24}{row['engine']:<18}{cells.rstrip()}{more}")
    for name, why in suite.absent.items():
        print(f"not measured: {name}: {why}")
    for failure in suite.failed:
        print(f"FAILED: {failure['what']}: {failure['why']}")


if __name__ == "__main__":
    sys.exit(main())
