"""Measures Tidemill, and Spark in the same run.

    bench.py --program PATH [--events N] [--runs N] [--only w1,w3,latency] [--no-spark] [--out DIR]

Throughput (w1, w3): whole processes over the same files, start and end included, A B A B; the median
of the runs. Latency: see latency.py. Results are checked before they count, against DuckDB. Prints a
table and writes results.json.
"""

import argparse
import json
import os
import shutil
import statistics
import sys
from pathlib import Path

import answers
import latency
from measure import Measured, adopt_orphans, measure

HERE = Path(__file__).resolve().parent
SPAN_SECONDS = 7200


def load_of_tidemill(seconds: float) -> latency.Load:
    """A file every 10 ms."""
    return latency.Load(warm=5.0, seconds=seconds, interval=0.01)


def load_of_spark(seconds: float) -> latency.Load:
    """A file every 50 ms: with one every 10 ms Spark's file source falls behind and never catches up."""
    return latency.Load(warm=15.0, seconds=seconds, interval=0.05)


class Bench:
    """One run of the benchmark."""

    def __init__(self, asked: argparse.Namespace) -> None:
        self.asked, self.out = asked, asked.out
        self.data = self.out / f"events-{asked.events}"
        self.rows: list[dict] = []

    def make_data(self) -> None:
        """The events, unless they are there."""
        if (self.data / "complete").exists():
            return
        shutil.rmtree(self.data, ignore_errors=True)
        print(f"making {self.asked.events:,} events in {self.data}", flush=True)
        env = {
            "DATA": str(self.data),
            "EVENTS": str(self.asked.events),
            "RATE": str(-(-self.asked.events // SPAN_SECONDS)),
        }
        self.tidemill("data", self.fresh("make"), env)
        (self.data / "complete").touch()

    def fresh(self, name: str) -> Path:
        """An empty folder."""
        folder = self.out / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    def tidemill(self, pipeline: str, folder: Path, env: dict[str, str]) -> Measured:
        """A whole run of a pipeline."""
        return measure(self.tidemill_command(pipeline, folder), folder / "log.txt", os.environ | env)

    def tidemill_command(self, pipeline: str, folder: Path) -> list[str]:
        """`tidemill run`, quietly."""
        path = HERE / "pipelines" / f"{pipeline}.sql"
        quiet = ["--progress", "off", "--listen", "off"]
        return [str(self.asked.program), "run", str(path), "--checkpoint", str(folder / "checkpoint"), *quiet]

    def spark_command(self, arguments: list[str], memory: str) -> list[str]:
        """`spark-submit` on all cores of this machine."""
        submit = str(Path(self.asked.spark) / "bin" / "spark-submit")
        master = f"local[{os.cpu_count()}]"
        return [submit, "--master", master, "--driver-memory", memory, str(HERE / "spark.py"), *arguments]

    def throughput(self, workload: str) -> None:
        """Both engines, turn by turn."""
        ours: list[Measured] = []
        theirs: list[Measured] = []
        for turn in range(self.asked.runs):
            folder = self.fresh(f"tidemill-{workload}")
            ours.append(self.tidemill(workload, folder, {"DATA": str(self.data), "OUT": str(folder)}))
            if turn == 0:
                answers.check(workload, self.data, folder / "data")
            if self.asked.with_spark:
                folder = self.fresh(f"spark-{workload}")
                command = self.spark_command([workload, str(self.data), str(folder)], "12g")
                theirs.append(measure(command, folder / "log.txt", self.spark_env()))
                if turn == 0:
                    answers.check_spark(workload, self.data, folder / "data")
            print(f"{workload}: turn {turn + 1} of {self.asked.runs} done", flush=True)
        self.add_throughput("tidemill", workload, ours)
        if theirs:
            self.add_throughput("spark", workload, theirs)

    def spark_env(self) -> dict[str, str]:
        """Python of the same environment."""
        return os.environ | {"PYSPARK_PYTHON": str(Path(self.asked.spark) / "bin" / "python")}

    def add_throughput(self, engine: str, workload: str, runs: list[Measured]) -> None:
        """The median of the runs as a row of the table."""
        events = self.asked.events
        median = lambda of: statistics.median(of(run) for run in runs)  # noqa: E731
        self.add(
            {
                "workload": workload,
                "engine": engine,
                "events_per_second": round(events / median(lambda run: run.seconds)),
                "cpu_seconds_per_million": round(median(lambda run: run.cpu_seconds) / events * 1e6, 2),
                "peak_mib": round(median(lambda run: run.peak_bytes) / 2**20),
                "runs": len(runs),
            }
        )

    def add(self, row: dict) -> None:
        """A row of the table; what is measured is kept even if what follows fails."""
        self.rows.append(row)
        (self.out / "results.json").write_text(json.dumps(self.rows, indent=1) + "\n")

    def latency(self) -> None:
        """Both engines at a steady rate."""
        for pipeline in ("latency", "latency_window"):
            work = self.fresh(f"tidemill-{pipeline}")
            env = os.environ | {"DATA": str(work / "data"), "OUT": str(work / "out")}
            published = latency.TidemillPublished(work / "out" / "data")
            found = latency.run(
                self.tidemill_command(pipeline, work), env, work, published, load_of_tidemill(self.asked.seconds)
            )
            self.add({"workload": pipeline, "engine": "tidemill"} | vars(found))
            print(f"{pipeline}: tidemill done", flush=True)
        if self.asked.with_spark:
            work = self.fresh("spark-latency")
            arguments = ["latency", str(work / "data"), str(work / "out"), str(self.asked.seconds + 60)]
            published = latency.SparkPublished(work / "out" / "data")
            command = self.spark_command(arguments, "4g")
            found = latency.run(command, self.spark_env(), work, published, load_of_spark(self.asked.seconds))
            self.add({"workload": "latency", "engine": "spark"} | vars(found))

    def report(self) -> None:
        """The table."""
        print(f"\n{self.asked.events:,} events; {os.cpu_count()} cores; a run is a whole process\n")
        print(f"{'workload':<16}{'engine':<10}{'events/s':>12}{'CPU s per million':>20}{'peak memory':>14}")
        for row in (row for row in self.rows if "peak_mib" in row):
            print(
                f"{row['workload']:<16}{row['engine']:<10}{row['events_per_second']:>12,}"
                f"{row['cpu_seconds_per_million']:>20}{row['peak_mib']:>10} MiB"
            )
        print(f"\nevent to committed result at {latency.RATE:,} events/s, in milliseconds\n")
        print(f"{'workload':<16}{'engine':<10}{'p50':>8}{'p95':>8}{'p99':>8}{'max':>8}")
        for row in (row for row in self.rows if "p99" in row):
            print(
                f"{row['workload']:<16}{row['engine']:<10}{row['p50']:>8}{row['p95']:>8}{row['p99']:>8}{row['most']:>8}"
            )


def main() -> int:
    """Runs what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", type=Path, required=True)
    parser.add_argument("--spark", help="environment with pyspark; default: that of TIDEMILL_BENCH_VENV")
    parser.add_argument("--events", type=int, default=5_000_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=30.0, help="how long latency is measured")
    parser.add_argument("--only", default="w1,w3,latency")
    parser.add_argument("--no-spark", dest="with_spark", action="store_false")
    parser.add_argument("--out", type=Path, default=HERE / "out")
    asked = parser.parse_args()
    asked.spark = asked.spark or os.environ.get("TIDEMILL_BENCH_VENV", "")
    asked.program, asked.out = asked.program.resolve(), asked.out.resolve()
    asked.out.mkdir(parents=True, exist_ok=True)
    adopt_orphans()
    bench = Bench(asked)
    wanted = asked.only.split(",")
    try:
        if {"w1", "w3"} & set(wanted):
            bench.make_data()
        for workload in (name for name in ("w1", "w3") if name in wanted):
            bench.throughput(workload)
        if "latency" in wanted:
            bench.latency()
    finally:
        bench.report()
    return 0


if __name__ == "__main__":
    sys.exit(main())
