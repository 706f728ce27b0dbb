"""W1, W2, W3 as one batch on DuckDB: duckdb_batch.py w1|w2|w3|decode DATA OUT. All windows, distinct counts exact.

W1 goes through slices of a minute, five of which make a window: the form as it is written takes half as long again.
"""

import os
import sys

import duckdb

QUERIES = {
    "w1": """
WITH slices AS (
    SELECT user_id, session_id, time_bucket(INTERVAL 1 MINUTE, timestamp) AS slice, count(*) AS n, sum(duration) AS d
    FROM events GROUP BY ALL
)
SELECT user_id, slice - INTERVAL 1 MINUTE * before AS window_start, CAST(sum(n) AS BIGINT) AS n,
       count(DISTINCT session_id) AS sessions, sum(d) / sum(n) AS avg_duration
FROM slices, range(5) AS earlier(before) GROUP BY user_id, window_start""",
    "w2": """
SELECT event_id, 'u***' || substr(user_id, 6, 2) AS user_masked, event_type, duration, amount, timestamp
FROM events WHERE event_type IN ('purchase', 'add_cart', 'search', 'click')""",
    "w3": """
SELECT time_bucket(INTERVAL 1 MINUTE, timestamp) AS window_start, event_type, count(*) AS n, sum(duration) AS duration
FROM events GROUP BY ALL""",
    "decode": """
SELECT count(event_id) AS n, count(user_id) AS users, count(session_id) AS sessions, count(event_type) AS types,
       sum(duration) AS duration, sum(amount) AS amount, max(timestamp) AS newest
FROM events""",
}
EVENTS = """
CREATE VIEW events AS SELECT * FROM read_json('{data}/*.json', format = 'newline_delimited', columns = {{
    event_id: 'VARCHAR', user_id: 'VARCHAR', session_id: 'VARCHAR', event_type: 'VARCHAR', duration: 'DOUBLE',
    amount: 'DECIMAL(12, 2)', timestamp: 'TIMESTAMP'}})"""


def main(workload: str, data: str, out: str) -> None:
    """Runs one query."""
    os.makedirs(f"{out}/data", exist_ok=True)
    db = duckdb.connect()
    db.execute(f"SET threads = {os.environ['CORES']}; SET preserve_insertion_order = false")
    db.execute(EVENTS.format(data=data))
    db.execute(f"COPY ({QUERIES[workload]}) TO '{out}/data/result.parquet' (FORMAT parquet, COMPRESSION snappy)")


main(*sys.argv[1:4])
