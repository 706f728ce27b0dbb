"""W3: a tumbling minute by type of event: few groups, many rows."""

from suite import Suite

ENGINES = ["tidemill", "spark", "spark-rocksdb", "flink", "bytewax", "duckdb", "polars", "datafusion"]


def run(suite: Suite) -> None:
    """Throughput."""
    suite.turns("w3", ENGINES)
