"""W2: filter, mask, project; JSON files to Parquet, no state."""

from suite import Suite

ENGINES = ["tidemill", "spark", "flink", "bytewax", "duckdb", "polars", "datafusion"]


def run(suite: Suite) -> None:
    """Throughput."""
    suite.turns("w2", ENGINES)
