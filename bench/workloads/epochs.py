"""Epoch overhead: files of ten rows, one an epoch; exactly once, with state. The median of what an epoch took."""

from __future__ import annotations

import json

from suite import HERE, Suite

ROWS = 10
EPOCHS, EPOCHS_QUICK = 300, 20
BACKENDS = ("memory", "rocksdb")
WARM = 5


def run(suite: Suite) -> None:
    """Both state stores, and Spark."""
    epochs = EPOCHS_QUICK if suite.asked.quick else EPOCHS
    data = suite.events(epochs * ROWS, files=epochs)
    for backend in BACKENDS:
        folder = suite.fresh("epochs")
        env = {"DATA": str(data), "OUT": str(folder)}
        reports = suite.reports(HERE / "pipelines" / "epochs.sql", folder, env, "--set", f"state_backend={backend}")
        add(suite, "epochs" if backend == "memory" else "epochs_rocksdb", "tidemill", reports)
    if engine := suite.engine("spark"):
        suite.run("spark", engine, "epochs", data)
        log = suite.out / "epochs-spark" / "log.txt"
        lines = [line for line in log.read_text(errors="replace").splitlines() if line.startswith('{"durationMs"')]
        add(suite, "epochs", "spark", [json.loads(line) for line in lines])


def add(suite: Suite, workload: str, engine: str, reports: list[dict]) -> None:
    """Percentiles of the epochs that had rows."""
    took = sorted(
        one["durationMs"]["triggerExecution"] for one in [one for one in reports if one["numInputRows"]][WARM:]
    )
    if not took:
        raise RuntimeError(f"{engine} reported no epochs")
    at = lambda share: round(took[min(len(took) - 1, int(len(took) * share))], 2)  # noqa: E731
    suite.add(workload, engine, epochs=len(took), p50=at(0.5), p99=at(0.99), p999=at(0.999), unit="ms an epoch")
