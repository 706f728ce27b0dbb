"""The engines that are measured: how each is started, what it can do, what its answer is like.

An engine is one entry of ENGINES and, unless it is Tidemill, one script in peers/ that is called
`SCRIPT WORKLOAD DATA OUT [name=value ...]` and leaves its result in OUT/data. A new peer is an entry and a script.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import inputs
from answers import Kind

HERE = Path(__file__).resolve().parent
PEERS = HERE / "peers"
CORES = os.cpu_count() or 1
JVM_MEMORY = "12g"


@dataclass(frozen=True)
class Job:
    """One run of an engine."""

    program: Path  # the tidemill program
    workload: str
    data: Path
    out: Path
    options: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Engine:
    """One entry of the table."""

    command: Callable[[Job], list[str]]
    package: str  # whose version is told
    environment: str = ""  # the variable of scripts/env that names its Python environment
    batch: bool = False  # reads all, then ends: a practical limit, not an alternative
    kind: Kind = Kind()
    workloads: tuple[str, ...] = ("w1", "w2", "w3", "start")
    events_max: dict[str, int] = field(default_factory=dict)  # of engines that would take hours
    lanes: bool = False  # reads as many files at once as there are cores
    note: str = ""

    def missing(self) -> str | None:
        """Why it cannot be run here."""
        if not self.environment:
            return None
        folder = os.environ.get(self.environment, "")
        if not (folder and Path(folder, "complete").exists()):
            return f"its environment is not installed ({self.environment}: run `scripts/setup bench`)"
        return None


def versions() -> dict[str, str]:
    """Of the peers that are installed."""
    found = {}
    for name, engine in ENGINES.items():
        if engine.environment and not engine.missing():
            packages = Path(os.environ[engine.environment]) / "lib"
            own = engine.package.replace("-", "_")
            for path in packages.glob(f"python*/site-packages/{own}-*.dist-info"):
                found[name] = path.name.removesuffix(".dist-info").rsplit("-", 1)[1]
    return found


def python(environment: str) -> str:
    """The interpreter of an environment."""
    return str(Path(os.environ[environment]) / "bin" / "python")


def arguments(job: Job) -> list[str]:
    """What every script of peers/ is told."""
    return [job.workload, str(job.data), str(job.out), *(f"{name}={value}" for name, value in job.options.items())]


def tidemill(job: Job) -> list[str]:
    """Its pipeline has the workload's name; it finds DATA and OUT in the environment."""
    pipeline = HERE / "pipelines" / f"{job.workload}.sql"
    return inputs.run_command(job.program, pipeline, job.out / "checkpoint")


def spark(environment: str, *more: str) -> Callable[[Job], list[str]]:
    """`spark-submit` on all cores of this machine."""

    def command(job: Job) -> list[str]:
        submit = str(Path(os.environ[environment]) / "bin" / "spark-submit")
        options = ["--master", f"local[{CORES}]", "--driver-memory", job.options.get("memory", JVM_MEMORY)]
        if jars := job.options.get("jars"):
            options += ["--jars", jars]
        return [submit, *options, str(PEERS / "spark_stream.py"), *arguments(job), *more]

    return command


def script(environment: str, name: str) -> Callable[[Job], list[str]]:
    """A script of peers/ in its environment."""
    return lambda job: [python(environment), str(PEERS / f"{name}.py"), *arguments(job)]


SPARK, CONNECTORS = "TIDEMILL_BENCH_VENV", "TIDEMILL_SPARK_CONNECTORS_VENV"
FLINK, BYTEWAX, BATCH = "TIDEMILL_FLINK_VENV", "TIDEMILL_BYTEWAX_VENV", "TIDEMILL_BATCH_VENV"
APPROXIMATE = Kind(exact=False)
ALL_WINDOWS = Kind(closed=False)

ENGINES = {
    "tidemill": Engine(tidemill, "tidemill"),
    "spark": Engine(
        spark(SPARK),
        "pyspark",
        SPARK,
        kind=APPROXIMATE,
        note="counts distinct sessions approximately; Parquet, not Delta",
    ),
    "spark-rocksdb": Engine(
        spark(SPARK, "store=rocksdb"), "pyspark", SPARK, kind=APPROXIMATE, workloads=("w1", "w3"), note="RocksDB state"
    ),
    "flink": Engine(
        script(FLINK, "flink_stream"), "apache-flink", FLINK, kind=ALL_WINDOWS, lanes=True, note="writes JSON files"
    ),
    "bytewax": Engine(
        script(BYTEWAX, "bytewax_stream"),
        "bytewax",
        BYTEWAX,
        kind=ALL_WINDOWS,
        events_max={"w1": 200_000, "w2": 2_000_000, "w3": 500_000},
        note="one worker, no recovery; writes JSON lines; fewer events where all of them would take half an hour",
    ),
    "duckdb": Engine(script(BATCH, "duckdb_batch"), "duckdb", BATCH, True, ALL_WINDOWS),
    "polars": Engine(script(BATCH, "polars_batch"), "polars", BATCH, True, ALL_WINDOWS),
    "datafusion": Engine(script(BATCH, "datafusion_batch"), "datafusion", BATCH, True, ALL_WINDOWS),
}
