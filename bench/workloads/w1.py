"""W1: per user, a window of 5 minutes sliding by 1, exact distinct sessions; JSON files to a Delta table, exactly once."""

from suite import Suite

ENGINES = ["tidemill", "spark", "spark-rocksdb", "flink", "bytewax", "duckdb", "polars", "datafusion"]


def run(suite: Suite) -> None:
    """Throughput."""
    suite.turns("w1", ENGINES)
