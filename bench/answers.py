"""What w1, w2 and w3 must give, computed by DuckDB; an engine with a wrong answer is not measured.

An answer is a few sums over the result. Streaming engines that drop late rows by a watermark give the windows that it
has closed; engines that know the end of their input give all of them. Some count distinct sessions approximately: that
sum is left out for them, and said in the report.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import duckdb

EVENTS = """
CREATE TEMP TABLE events AS
SELECT user_id, session_id, event_type, duration, amount, CAST(timestamp AS TIMESTAMP) AS ts
FROM read_json(?, format = 'newline_delimited', columns = {
    user_id: 'VARCHAR', session_id: 'VARCHAR', event_type: 'VARCHAR', duration: 'DOUBLE', amount: 'DECIMAL(12, 2)',
    timestamp: 'VARCHAR'})
"""
CLOSED = "WHERE window_start + INTERVAL {minutes} MINUTE <= (SELECT max(ts) - INTERVAL 10 MINUTE FROM events)"
# A slice per minute and user, five of which make a window: the plain form needs more memory than there is.
EXPECTED = {
    "w1": """
SELECT sum(w.rows), sum(w.n), sum(s.sessions), sum(w.duration) FROM (
    SELECT window_start, count(*) AS rows, sum(n) AS n, sum(duration) AS duration FROM (
        SELECT user_id, minute + to_minutes(-before) AS window_start, sum(n) AS n, sum(duration) AS duration
        FROM (SELECT user_id, time_bucket(INTERVAL 1 MINUTE, ts) AS minute, count(*) AS n, sum(duration) AS duration
              FROM events GROUP BY 1, 2)
        CROSS JOIN range(5) AS earlier(before)
        GROUP BY 1, 2
    ) GROUP BY 1
) w JOIN (
    SELECT window_start, sum(sessions) AS sessions FROM (
        SELECT user_id, minute + to_minutes(-before) AS window_start, count(DISTINCT session_id) AS sessions
        FROM (SELECT DISTINCT user_id, session_id, time_bucket(INTERVAL 1 MINUTE, ts) AS minute FROM events)
        CROSS JOIN range(5) AS earlier(before)
        GROUP BY 1, 2
    ) GROUP BY 1
) s USING (window_start) {closed}""",
    "w2": """
SELECT count(*), count(DISTINCT user_masked), sum(amount), sum(duration) FROM (
    SELECT 'u***' || substr(user_id, 6, 2) AS user_masked, amount, duration FROM events
    WHERE event_type IN ('purchase', 'add_cart', 'search', 'click'))""",
    "w3": """
SELECT count(*), sum(n), count(DISTINCT event_type), sum(duration) FROM (
    SELECT event_type, time_bucket(INTERVAL 1 MINUTE, ts) AS window_start, count(*) AS n, sum(duration) AS duration
    FROM events GROUP BY 1, 2
) {closed}""",
}
MINUTES = {"w1": 5, "w3": 1}
FOUND = {
    "w1": "count(*), sum(n), sum(sessions), sum(avg_duration * n)",
    "w2": "count(*), count(DISTINCT user_masked), sum(CAST(amount AS DECIMAL(12, 2))), sum(duration)",
    "w3": "count(*), sum(n), count(DISTINCT event_type), sum(duration)",
}
DISTINCT = 2


@dataclass(frozen=True)
class Kind:
    """What an engine's answer is like."""

    closed: bool = True  # only windows that the watermark has closed
    exact: bool = True  # distinct sessions are counted exactly


def check(workload: str, data: Path, results: Path, kind: Kind) -> None:
    """Compares the sums.

    Raises:
        RuntimeError: the results are wrong.
    """
    db = duckdb.connect()
    db.execute(EVENTS, [str(data / "*.json")])
    closed = CLOSED.format(minutes=MINUTES[workload]) if kind.closed and workload in MINUTES else ""
    expected = list(db.execute(EXPECTED[workload].format(closed=closed)).fetchone())
    found = list(db.execute(f"SELECT {FOUND[workload]} FROM {relation(results)}").fetchone())
    if workload == "w1" and not kind.exact:
        del expected[DISTINCT], found[DISTINCT]
    if not all(same(one, other) for one, other in zip(expected, found, strict=True)):
        raise RuntimeError(f"{workload}: the sums of the result are {found}, expected {expected}")


def same(one: object, other: object) -> bool:
    """Sums of doubles depend on the order of their parts."""
    if one is None or other is None:
        return one is other
    return math.isclose(float(one), float(other), rel_tol=1e-9, abs_tol=1e-6)


def relation(results: Path) -> str:
    """A result as DuckDB reads it, whoever wrote it: Delta, Parquet, or JSON lines."""
    if (results / "_delta_log").is_dir():
        from deltalake import DeltaTable

        return f"read_parquet({DeltaTable(results).file_uris()!r})"
    if files := [str(path) for path in results.rglob("*.parquet") if "/_" not in str(path.relative_to(results))]:
        return f"read_parquet({files!r})"
    # newline-delimited JSON, whose files have any name; those that begin with a dot are not published
    files = [str(path) for path in results.rglob("*") if path.is_file() and path.name[0] not in "._"]
    files = [path for path in files if Path(path).stat().st_size]
    return f"read_json({files!r}, format = 'newline_delimited')"
