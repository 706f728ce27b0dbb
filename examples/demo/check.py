"""Counts the demo's results again with DuckDB, from a copy of the raw events, and compares."""

from dataclasses import dataclass
from pathlib import Path

import duckdb
from deltalake import DeltaTable

# Columns of a result that are exact; averages are compared with a tolerance.
EXACT = "window_start, user_id, event_count, session_count"

EVENTS = """
CREATE TEMP TABLE raw AS SELECT value FROM read_parquet($copy);
CREATE TEMP TABLE checked AS
SELECT CASE WHEN json_valid(value) THEN CASE WHEN json_type(value) = 'OBJECT' THEN json(value) END END AS j
FROM raw;
CREATE TEMP TABLE events AS
SELECT j->>'user_id' AS user_id, j->>'session_id' AS session_id, CAST(j->>'duration' AS DOUBLE) AS duration,
       CAST(j->>'timestamp' AS TIMESTAMP) AS ts
FROM checked
WHERE j IS NOT NULL AND TRY_CAST(j->>'timestamp' AS TIMESTAMP) IS NOT NULL
  AND json_type(j, '$.duration') IN ('DOUBLE', 'BIGINT', 'UBIGINT', 'NULL');
CREATE TEMP TABLE expected AS
WITH windows AS (
    SELECT *, time_bucket(INTERVAL 1 MINUTE, ts) - to_minutes(before) AS window_start
    FROM events CROSS JOIN range(5) AS earlier(before)
)
SELECT window_start, user_id, count(*) AS event_count, count(DISTINCT session_id) AS session_count,
       avg(duration) AS avg_duration
FROM windows
GROUP BY ALL
HAVING window_start + INTERVAL 5 MINUTE <= (SELECT max(ts) FROM events) - INTERVAL 30 SECOND;
"""


@dataclass
class Finding:
    """One comparison."""

    what: str
    expected: int
    found: int
    is_right: bool
    note: str = ""


def compare(out: Path) -> list[Finding]:
    """All comparisons of a run in the folder `out`."""
    db = duckdb.connect()
    db.execute("SET TimeZone = 'UTC'")
    for statement in EVENTS.split(";\n"):
        parameters = {"copy": str(out / "copy" / "*.parquet")} if "$copy" in statement else None
        db.execute(statement, parameters) if statement.strip() else None
    gold = DeltaTable(str(out / "tables" / "user_metrics")).to_pyarrow_table()
    letters = DeltaTable(str(out / "tables" / "dead_letters")).to_pyarrow_table()
    db.register("gold_rows", gold)
    db.register("letter_rows", letters)
    db.execute("CREATE TEMP VIEW gold AS SELECT * REPLACE (window_start::TIMESTAMP AS window_start) FROM gold_rows")
    files = str(out / "analytics" / "*.parquet")
    db.execute(
        "CREATE TEMP TABLE analytics AS SELECT * REPLACE (window_start::TIMESTAMP AS window_start) "
        "FROM read_parquet(?)",
        [files],
    )
    return [
        dead_letters(db),
        same_rows(db, "rows of the Delta table", "gold"),
        same_rows(db, "rows of the Parquet files", "analytics"),
        averages(db),
        masked(db),
    ]


def one(db: duckdb.DuckDBPyConnection, sql: str) -> int:
    """The one number a query gives."""
    row = db.execute(sql).fetchone()
    return int(row[0]) if row and row[0] is not None else 0


def dead_letters(db: duckdb.DuckDBPyConnection) -> Finding:
    """Every broken record is there once, with its bytes."""
    expected = one(db, "SELECT (SELECT count(*) FROM raw) - (SELECT count(*) FROM events)")
    found = one(db, "SELECT count(*) FROM letter_rows")
    distinct = one(db, 'SELECT count(DISTINCT (source, partition, "offset")) FROM letter_rows')
    foreign = one(db, "SELECT count(*) FROM (SELECT decode(value) FROM letter_rows EXCEPT ALL SELECT value FROM raw)")
    return Finding(
        "dead letters", expected, found, expected == found == distinct and foreign == 0, "each with its bytes"
    )


def same_rows(db: duckdb.DuckDBPyConnection, what: str, table: str) -> Finding:
    """Rows as multisets: what is missing, what is too many."""
    missing = one(db, f"SELECT count(*) FROM (SELECT {EXACT} FROM expected EXCEPT ALL SELECT {EXACT} FROM {table})")
    extra = one(db, f"SELECT count(*) FROM (SELECT {EXACT} FROM {table} EXCEPT ALL SELECT {EXACT} FROM expected)")
    expected, found = one(db, "SELECT count(*) FROM expected"), one(db, f"SELECT count(*) FROM {table}")
    return Finding(
        what, expected, found, missing == extra == 0 and expected > 0, f"{missing} missing, {extra} too many"
    )


def averages(db: duckdb.DuckDBPyConnection) -> Finding:
    """Averages agree to 12 digits: the order of additions differs."""
    joined = "FROM expected JOIN gold USING (window_start, user_id)"
    close = "abs(expected.avg_duration - gold.avg_duration) <= 1e-12 * greatest(1, abs(expected.avg_duration))"
    alike = one(
        db, f"SELECT count(*) {joined} WHERE {close} OR (expected.avg_duration IS NULL AND gold.avg_duration IS NULL)"
    )
    total = one(db, "SELECT count(*) FROM expected")
    return Finding("averages", total, alike, total == alike)


def masked(db: duckdb.DuckDBPyConnection) -> Finding:
    """No whole e-mail address or phone number is in the results."""
    total = one(db, "SELECT count(*) FROM gold")
    hidden = one(
        db,
        "SELECT count(*) FROM gold WHERE regexp_full_match(email, '.\\*+@example\\.(com|org|net)') "
        "AND regexp_full_match(regexp_replace(phone, '[^0-9]', '', 'g'), '[0-9]{0,2}')",
    )
    return Finding("rows without a whole address", total, hidden, total == hidden)
