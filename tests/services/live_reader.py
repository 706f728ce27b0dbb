#!/usr/bin/env python3
"""Reads live tables with psycopg and SQLAlchemy; run by the Python that has them.

    live_reader.py types PORT                     every type in text and binary form, and as SQLAlchemy reflects it
    live_reader.py parameters PORT                prepared statements with parameters of many types
    live_reader.py dashboards PORT                the start-up queries of dashboards and drivers
    live_reader.py watch PORT STATEMENT UNTIL     reads again and again until the first number is UNTIL
    live_reader.py crowd PORT COUNT               connects so many times at once

Prints what it found as JSON.
"""

import json
import os
import subprocess
import sys
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

HERE = Path(__file__).parent


def clients_python() -> Path:
    """The Python that has the clients, which scripts/setup makes."""
    if venv := os.environ.get("TIDEMILL_CLIENTS_VENV"):
        return Path(venv) / "bin" / "python"
    asked = [". scripts/env; echo $TIDEMILL_CLIENTS_VENV"]
    told = subprocess.run(asked, shell=True, cwd=HERE.parents[1], capture_output=True, text=True, check=True)
    return Path(told.stdout.strip()) / "bin" / "python"


def connect(port: int):
    """A connection that ends every statement's transaction."""
    import psycopg

    return psycopg.connect(f"host=127.0.0.1 port={port} user=me dbname=tidemill", autocommit=True)


def shown(value):
    """A value as JSON has it."""
    if isinstance(value, (list, dict, int, float, str, bool)) or value is None:
        return value
    return str(value)


def types(port: int) -> dict:
    """Rows in both forms, and what SQLAlchemy says of the columns."""
    import sqlalchemy
    from psycopg.rows import dict_row

    found = {}
    with connect(port) as connection:
        for name, binary in (("text", False), ("binary", True)):
            cursor = connection.cursor(binary=binary, row_factory=dict_row)
            rows = cursor.execute("SELECT * FROM types").fetchall()
            found[name] = [{key: shown(value) for key, value in row.items()} for row in rows]
    engine = sqlalchemy.create_engine(f"postgresql+psycopg://me@127.0.0.1:{port}/tidemill")
    inspector = sqlalchemy.inspect(engine)
    found["tables"] = inspector.get_table_names()
    found["schema"] = {column["name"]: str(column["type"]) for column in inspector.get_columns("types")}
    tables = sqlalchemy.MetaData()
    tables.reflect(engine, only=["types"])
    with engine.connect() as connection:
        table = tables.tables["types"]
        rows = connection.execute(sqlalchemy.select(table.c.id).where(table.c.user != "x")).fetchall()
        assert [tuple(row) for row in rows] == [(7,)], rows
    return found


def parameters(port: int) -> dict:
    """Each question with whether its answer is right."""
    with connect(port) as connection:
        found = {}
        for cursor in (connection.cursor(), connection.cursor(binary=True)):

            def asked(name: str, expected, sql: str, *values, prepare: bool | None = None, cursor=cursor) -> None:
                rows = cursor.execute(sql, values, prepare=prepare).fetchall()
                found[f"{name} {cursor.format.name}"] = rows == expected or str(rows)

            asked("integer", [("u2",)], 'SELECT "user" FROM totals WHERE total = %s', 117)
            asked("text", [(6,)], 'SELECT n FROM totals WHERE "user" = %s', "u0")
            asked("list", [(6,), (6,)], 'SELECT n FROM totals WHERE "user" = ANY(%s)', ["u0", "u1"])
            asked("numbers", [(7,)], "SELECT count(*) FROM totals WHERE n = ANY(%s)", [5, 6])
            asked("empty list", [(0,)], 'SELECT count(*) FROM totals WHERE "user" = ANY(%s)', [])
            asked("float", [(3,)], "SELECT count(*) FROM totals WHERE total > %s", 112.5)
            asked("decimal", [(3,)], "SELECT count(*) FROM totals WHERE total > %s", Decimal("112.5"))
            asked("time", [(True,)], "SELECT %s < now()", datetime(2024, 1, 1, tzinfo=UTC))
            asked("day", [(date(2024, 3, 1),)], "SELECT %s + INTERVAL '1 day'::interval", date(2024, 2, 29))
            asked("limit", [("u1",), ("u2",)], 'SELECT "user" FROM totals ORDER BY 1 LIMIT %s OFFSET %s', 2, 1)
            asked("injection", [("'; DROP TABLE totals; --",)], "SELECT %s::text", "'; DROP TABLE totals; --")
            asked("bytes", [(b"\x00\xff",)], "SELECT %s", b"\x00\xff")
            asked("null", [(None,)], "SELECT %s::text", None)
            for _ in range(3):
                asked("prepared", [(6,)], 'SELECT n FROM totals WHERE "user" = %s', "u1", prepare=True)
        with connection.pipeline():
            first, second = connection.execute("SELECT 1"), connection.execute("SELECT count(*) FROM totals")
            found["pipeline"] = (first.fetchone(), second.fetchone()) == ((1,), (7,))
        return found


def dashboards(port: int) -> dict:
    """What clients ask before they ask for rows; texts as they send them are in live_queries.sql."""
    import psycopg

    found: dict = {"failed": {}}
    text = (HERE / "live_queries.sql").read_text(encoding="utf-8")
    with connect(port) as connection:
        for part in text.split("-- name: ")[1:]:
            name, _, sql = part.partition("\n")
            try:
                found[name] = str(connection.execute(sql.strip().rstrip(";")).fetchall())
            except psycopg.Error as error:
                found["failed"][name] = str(error)
    return found


def watch(port: int, statement: str, until: str) -> dict:
    """Every pair of numbers that was seen."""
    seen, reads = set(), 0
    with connect(port) as connection:
        print("ready", flush=True)
        while True:
            row = tuple(int(value or 0) for value in connection.execute(statement).fetchone())
            seen.add(row)
            reads += 1
            if row[0] >= int(until):
                return {"seen": sorted(seen), "reads": reads}


def crowd(port: int, count: str) -> dict:
    """How many were served, and what the others heard."""
    import psycopg

    kept, refused = [], []
    for _ in range(int(count)):
        try:
            kept.append(connect(port))
        except psycopg.OperationalError as error:
            refused.append(str(error))
    return {"served": len(kept), "refused": refused}


if __name__ == "__main__":
    ask, port, *rest = sys.argv[1:]
    print(
        json.dumps(
            {"types": types, "parameters": parameters, "dashboards": dashboards, "watch": watch, "crowd": crowd}[ask](
                int(port), *rest
            )
        )
    )
