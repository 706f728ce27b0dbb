"""W1, W2, W3 as one batch on Polars' streaming engine: polars_batch.py w1|w2|w3|decode DATA OUT. All windows, exact."""

import os
import sys

os.environ["POLARS_MAX_THREADS"] = os.environ["CORES"]
import polars as pl  # noqa: E402

SCHEMA = {
    "event_id": pl.String,
    "user_id": pl.String,
    "session_id": pl.String,
    "event_type": pl.String,
    "duration": pl.Float64,
    "amount": pl.Float64,
    "timestamp": pl.String,
}
KEPT = ["purchase", "add_cart", "search", "click"]
SLICE = pl.col("timestamp").dt.truncate("1m")


def w1(events: pl.LazyFrame) -> pl.LazyFrame:
    """Slices of a minute, five of which make a window."""
    slices = events.select("user_id", "session_id", "duration", slice=SLICE)
    slices = slices.group_by("user_id", "session_id", "slice").agg(n=pl.len(), d=pl.col("duration").sum())
    before = pl.LazyFrame({"minutes": range(5)}).select(before=pl.duration(minutes=pl.col("minutes")))
    spread = slices.join(before, how="cross").with_columns(window_start=pl.col("slice") - pl.col("before"))
    windows = spread.group_by("user_id", "window_start").agg(
        n=pl.col("n").sum(), sessions=pl.col("session_id").n_unique(), d=pl.col("d").sum()
    )
    return windows.with_columns(avg_duration=pl.col("d") / pl.col("n")).drop("d")


def w2(events: pl.LazyFrame) -> pl.LazyFrame:
    """Filter, mask, project."""
    return events.filter(pl.col("event_type").is_in(KEPT)).select(
        "event_id",
        "event_type",
        "duration",
        "timestamp",
        user_masked=pl.lit("u***") + pl.col("user_id").str.slice(5, 2),
        amount=pl.col("amount").cast(pl.Decimal(12, 2)),
    )


def w3(events: pl.LazyFrame) -> pl.LazyFrame:
    """Tumbling windows by type."""
    return events.group_by("event_type", window_start=SLICE).agg(n=pl.len(), duration=pl.col("duration").sum())


def decode(events: pl.LazyFrame) -> pl.LazyFrame:
    """Every column is looked at."""
    return events.select(
        pl.col("event_id").count().alias("n"),
        pl.col("user_id", "session_id", "event_type").count(),
        pl.col("duration", "amount").sum(),
        pl.col("timestamp").max().alias("newest"),
    )


def main(workload: str, data: str, out: str) -> None:
    """Runs one query."""
    os.makedirs(f"{out}/data", exist_ok=True)
    time = pl.col("timestamp").str.to_datetime("%Y-%m-%dT%H:%M:%S%.fZ", time_unit="us")
    events = pl.scan_ndjson(f"{data}/*.json", schema=SCHEMA).with_columns(time)
    query = {"w1": w1, "w2": w2, "w3": w3, "decode": decode}[workload]
    query(events).sink_parquet(f"{out}/data/result.parquet", compression="snappy")


main(*sys.argv[1:4])
