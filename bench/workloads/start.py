"""Start to first result: a whole process of W2 over 1,000 events."""

from suite import Suite

ENGINES = ["tidemill", "spark", "flink", "bytewax", "duckdb", "polars", "datafusion"]
EVENTS = 1000


def run(suite: Suite) -> None:
    """Mostly start-up."""
    suite.turns("start", ENGINES, events=EVENTS, query="w2")
