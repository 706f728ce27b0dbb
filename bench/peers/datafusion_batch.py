"""W1, W2, W3 as one batch on DataFusion: datafusion_batch.py w1|w2|w3|decode DATA OUT. All windows, distinct counts exact.

W1 goes through slices, and its distinct count is two groupings: `count(DISTINCT ..)` under GROUP BY keeps a set a group
and did not end within minutes. The windows of a slice are an unnested array: a cross join with five rows is slower.
"""

import os
import sys

import pyarrow as pa
from datafusion import SessionConfig, SessionContext

BEFORE = "unnest(make_array(" + ", ".join(f"INTERVAL '{minutes} minutes'" for minutes in range(5)) + "))"
MINUTE = "date_bin(INTERVAL '1 minute', timestamp)"
QUERIES = {
    "w1": f"""
WITH slices AS (
    SELECT user_id, session_id, {MINUTE} AS slice, count(*) AS n, sum(duration) AS d FROM events GROUP BY 1, 2, 3
), spread AS (
    SELECT user_id, session_id, slice - before AS window_start, n, d
    FROM (SELECT *, {BEFORE} AS before FROM slices)
), sessions AS (
    SELECT user_id, session_id, window_start, sum(n) AS n, sum(d) AS d FROM spread GROUP BY 1, 2, 3
)
SELECT user_id, window_start, sum(n) AS n, count(*) AS sessions, sum(d) / sum(n) AS avg_duration
FROM sessions GROUP BY 1, 2""",
    "w2": """
SELECT event_id, 'u***' || substr(user_id, 6, 2) AS user_masked, event_type, duration, amount, timestamp
FROM events WHERE event_type IN ('purchase', 'add_cart', 'search', 'click')""",
    "w3": f"""
SELECT {MINUTE} AS window_start, event_type, count(*) AS n, sum(duration) AS duration FROM events GROUP BY 1, 2""",
    "decode": """
SELECT count(event_id) AS n, count(user_id) AS users, count(session_id) AS sessions, count(event_type) AS types,
       sum(duration) AS duration, sum(amount) AS amount, max(timestamp) AS newest
FROM events""",
}
TEXT = ("event_id", "user_id", "session_id", "event_type")
SCHEMA = pa.schema(
    [*((name, pa.string()) for name in TEXT), ("duration", pa.float64()), ("amount", pa.decimal128(12, 2))]
    + [("timestamp", pa.timestamp("ms"))]
)


def main(workload: str, data: str, out: str) -> None:
    """Runs one query."""
    os.makedirs(f"{out}/data", exist_ok=True)
    context = SessionContext(SessionConfig().with_target_partitions(int(os.environ["CORES"])))
    context.register_json("events", f"{data}/", schema=SCHEMA, file_extension=".json")
    context.sql(QUERIES[workload]).write_parquet(f"{out}/data/result.parquet", compression="snappy")


main(*sys.argv[1:4])
