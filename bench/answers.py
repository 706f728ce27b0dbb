"""What the workloads must give, computed by DuckDB; a wrong answer is not measured."""

from pathlib import Path

import duckdb

EVENTS = """
CREATE TEMP TABLE events AS
SELECT user_id, session_id, event_type, duration, CAST(timestamp AS TIMESTAMP) AS ts
FROM read_json(?, format = 'newline_delimited', columns = {
    user_id: 'VARCHAR', session_id: 'VARCHAR', event_type: 'VARCHAR', duration: 'DOUBLE', timestamp: 'VARCHAR'})
"""
# A slice per minute and user, five of which make a window: the plain form needs more memory than there is.
EXPECTED = {
    "w1": """
CREATE TEMP TABLE expected AS
SELECT count(*) AS rows, sum(n) AS n FROM (
    SELECT user_id, minute + to_minutes(-before) AS window_start, sum(n) AS n
    FROM (SELECT user_id, time_bucket(INTERVAL 1 MINUTE, ts) AS minute, count(*) AS n FROM events GROUP BY 1, 2)
    CROSS JOIN range(5) AS earlier(before)
    GROUP BY 1, 2
) WHERE window_start + INTERVAL 5 MINUTE <= (SELECT max(ts) - INTERVAL 10 MINUTE FROM events)""",
    "w3": """
CREATE TEMP TABLE expected AS
SELECT count(*) AS rows, sum(n) AS n FROM (
    SELECT event_type, time_bucket(INTERVAL 1 MINUTE, ts) AS window_start, count(*) AS n
    FROM events GROUP BY 1, 2
) WHERE window_start + INTERVAL 1 MINUTE <= (SELECT max(ts) - INTERVAL 10 MINUTE FROM events)""",
}
SESSIONS = """
SELECT sum(sessions) FROM (
    SELECT user_id, minute + to_minutes(-before) AS window_start, count(DISTINCT session_id) AS sessions
    FROM (SELECT DISTINCT user_id, session_id, time_bucket(INTERVAL 1 MINUTE, ts) AS minute FROM events)
    CROSS JOIN range(5) AS earlier(before)
    GROUP BY 1, 2
) WHERE window_start + INTERVAL 5 MINUTE <= (SELECT max(ts) - INTERVAL 10 MINUTE FROM events)"""


def check(workload: str, data: Path, results: Path) -> None:
    """Number of rows, of events in them, and of sessions.

    Raises:
        RuntimeError: the results are wrong.
    """
    db = loaded(workload, data)
    compare(db, workload, results)
    if workload == "w1":
        expected = db.execute(SESSIONS).fetchone()
        found = db.execute("SELECT sum(sessions) FROM read_parquet(?)", [str(results / "*.parquet")]).fetchone()
        if expected != found:
            raise RuntimeError(f"w1: {found} sessions, expected {expected}")


def check_spark(workload: str, data: Path, results: Path) -> None:
    """Spark counts sessions approximately: rows and events only.

    Raises:
        RuntimeError: the results are wrong, and the comparison would not be fair.
    """
    compare(loaded(workload, data), f"spark {workload}", results)


def loaded(workload: str, data: Path) -> duckdb.DuckDBPyConnection:
    """A database with the events and what is expected."""
    db = duckdb.connect()
    db.execute(EVENTS, [str(data / "*.json")])
    db.execute(EXPECTED[workload])
    return db


def compare(db: duckdb.DuckDBPyConnection, what: str, results: Path) -> None:
    """Rows and events."""
    found = db.execute("SELECT count(*), sum(n) FROM read_parquet(?)", [str(results / "*.parquet")]).fetchone()
    expected = db.execute("SELECT * FROM expected").fetchone()
    if found != expected:
        raise RuntimeError(f"{what}: (rows, events) are {found}, expected {expected}")
