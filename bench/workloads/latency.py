"""Event to committed result at 10,000, 100,000 and 300,000 events/s, files in and files out; see ../latency.py."""

from __future__ import annotations

import os

import inputs
import latency
from engines import CORES, PEERS, Job, python, spark
from suite import HERE, Suite

RATES = (10_000, 100_000, 300_000)
# the peers' file sources fall behind at a file every 10 ms and never catch up
PEER_INTERVAL, INTERVAL = 0.05, 0.01
WARM, WARM_JVM = 5.0, 20.0
KEPT = 0.5  # of the types of event


def run(suite: Suite) -> None:
    """Tidemill at every rate, the peers at those that they may follow."""
    for rate in RATES[:1] if suite.asked.quick else RATES:
        for pipeline in ("latency", "latency_window"):
            suite.attempt(f"{pipeline} at {rate}", tidemill, suite, pipeline, rate)
    for rate in RATES[:1] if suite.asked.quick else RATES[:2]:
        for name, at in (("spark", spark_at), ("flink", flink_at)):
            if suite.engine(name):
                suite.attempt(f"latency of {name} at {rate}", at, suite, rate)


def tidemill(suite: Suite, pipeline: str, rate: int) -> None:
    """Both pipelines."""
    work = suite.fresh(f"latency-{pipeline}")
    env = os.environ | {"DATA": str(work / "data"), "OUT": str(work / "out")}
    command = inputs.run_command(suite.program, HERE / "pipelines" / f"{pipeline}.sql", work / "checkpoint")
    share = KEPT if pipeline == "latency" else 0.0
    load = latency.Load(rate, WARM, suite.asked.seconds, INTERVAL)
    published = latency.TidemillPublished(work / "out" / "data")
    found = latency.run(command, env, work, published, latency.FileFeeder(work / "data", load), share)
    suite.add(f"{pipeline}_{rate // 1000}k", "tidemill", rate=rate, **vars(found))


def spark_at(suite: Suite, rate: int) -> None:
    """Filter and mask on Spark."""
    work = suite.fresh("latency-spark")
    options = {"seconds": str(WARM_JVM + suite.asked.seconds + 60), "memory": "4g"}
    job = Job(suite.program, "latency", work / "data", work / "out", options)
    env = os.environ | {"PYSPARK_PYTHON": python("TIDEMILL_BENCH_VENV")}
    load = latency.Load(rate, WARM_JVM, suite.asked.seconds, PEER_INTERVAL)
    published = latency.SparkPublished(work / "out" / "data")
    command = spark("TIDEMILL_BENCH_VENV")(job)
    found = latency.run(command, env, work, published, latency.FileFeeder(work / "data", load), KEPT)
    suite.add(f"latency_{rate // 1000}k", "spark", rate=rate, note="a file every 50 ms", **vars(found))


def flink_at(suite: Suite, rate: int) -> None:
    """Filter and mask on Flink, a checkpoint a second."""
    work = suite.fresh("latency-flink")
    job = [str(PEERS / "flink_stream.py"), "latency", str(work / "data"), str(work / "out")]
    command = [python("TIDEMILL_FLINK_VENV"), *job, "checkpoint_ms=1000", "parallelism=1"]
    load = latency.Load(rate, WARM_JVM, suite.asked.seconds, PEER_INTERVAL)
    published = latency.FlinkPublished(work / "out" / "data")
    env = os.environ | {"CORES": str(CORES)}
    found = latency.run(command, env, work, published, latency.FileFeeder(work / "data", load), KEPT)
    suite.add(
        f"latency_{rate // 1000}k", "flink", rate=rate, note="a checkpoint a second; a file every 50 ms", **vars(found)
    )
