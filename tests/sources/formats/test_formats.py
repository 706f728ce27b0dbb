"""Payloads that others have written, through the embedded log: rows by value, bad records with their bytes and place."""

import base64
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent.parent / "services"))

from pipeline import PROGRAM

HERE = Path(__file__).parent
CLIENTS = Path(os.environ.get("TIDEMILL_CLIENTS_VENV", sys.prefix)) / "bin" / "python"
RUN_SECONDS = 60
FEED = """
CREATE TABLE fed (value BINARY, headers MAP<STRING, STRING>) WITH (connector = 'files', path = 'fed', format = 'json');
CREATE TABLE topic WITH (connector = 'log', path = 'log', topic = 'orders');
INSERT INTO topic SELECT value, headers FROM fed;
"""
READ = """
SET dead_letter = 'bad';
CREATE TABLE bad WITH (connector = 'files', path = 'bad', format = 'json');
CREATE TABLE orders ({columns}) WITH (connector = 'log', path = 'log', topic = 'orders', {options});
CREATE TABLE out WITH (connector = 'files', path = 'out', format = 'json');
INSERT INTO out SELECT * FROM orders;
"""
COLUMNS = "id BIGINT, channel STRING, name STRING, price DECIMAL(10,2), at TIMESTAMP"


def payloads_of(kind: str, folder: Path, given: str | None = None) -> list:
    """What the clients' serializers write, or read."""
    command = [str(CLIENTS), str(HERE / "format_payloads.py"), kind, str(folder)]
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def run(folder: Path, name: str, sql: str, code: int = 0) -> str:
    """Runs a pipeline over all that is there; returns what it says."""
    (folder / f"{name}.sql").write_text(sql, encoding="utf-8")
    command = [str(PROGRAM), "run", f"{name}.sql", "--checkpoint", f"ckpt-{name}", "--trigger", "available-now"]
    command += ["--progress", "off", "--listen", "off"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=RUN_SECONDS, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def feed(folder: Path, payloads: list[str | dict | None]) -> None:
    """Puts payloads, as base64, with their headers into the log; record number 0 is the first."""
    (folder / "fed").mkdir()
    records = [payload if isinstance(payload, dict) else {"value": payload} for payload in payloads]
    lines = [json.dumps(record) + "\n" for record in records]
    (folder / "fed" / "0.json").write_text("".join(lines), encoding="utf-8")
    run(folder, "feed", FEED)


def rows(folder: Path) -> list[dict]:
    """What a table of files holds, in order."""
    found = []
    for manifest in sorted((folder / "_tidemill" / "log").glob("*.json")):
        for file in json.loads(manifest.read_text(encoding="utf-8"))["files"]:
            found += [json.loads(line) for line in (folder / file["name"]).read_text(encoding="utf-8").splitlines()]
    return found


def orders(channels: list[str | None]) -> list[dict]:
    """The orders that the serializers were given."""
    expected = []
    for number, channel in enumerate(channels):
        at = f"2026-03-01T12:00:00.{number:03}Z"
        row = {
            "id": number,
            "channel": channel,
            "name": f"n{number}" if number % 3 else None,
            "price": number / 4,
            "at": at,
        }
        expected.append({name: value for name, value in row.items() if value is not None})
    return expected


FRAMINGS = {
    "confluent": ("avro_framing = 'confluent', schema_registry = 'schemas', schema_wait = '0s'", [None, "SHOP"] * 3),
    "single": ("avro_framing = 'single-object', avro_schema_file = 'v1.avsc, v2.avsc'", ["WEB", "SHOP"] * 3),
    "bare": ("avro_schema_file = 'v1.avsc'", [None] * 6),
}


@pytest.mark.parametrize("kind", FRAMINGS)
def test_avro_of_other_writers_is_read_and_bad_records_cost_nobody_else(tmp_path: Path, kind: str) -> None:
    """Two schemas in turn where the frame tells which; five bad records in the middle."""
    options, channels = FRAMINGS[kind]
    payloads = payloads_of(kind, tmp_path)
    feed(tmp_path, payloads)
    run(tmp_path, "read", READ.format(columns=COLUMNS, options=f"format = 'avro', {options}"))
    assert rows(tmp_path / "out") == orders(channels)
    letters = rows(tmp_path / "bad")
    assert [letter["offset"] for letter in letters] == [3, 4, 5, 6, 7]
    sent = [base64.b64decode(payload or "") for payload in payloads[3:8]]
    assert [base64.b64decode(letter.get("value", "")) for letter in letters] == sent
    codes = [letter["code"] for letter in letters]
    unknown = "MALFORMED" if kind == "bare" else "UNKNOWN_SCHEMA"
    assert codes == ["MALFORMED", unknown, "MALFORMED", "MALFORMED", "MALFORMED"]


def test_bad_records_are_rows_of_nulls_or_end_the_query(tmp_path: Path) -> None:
    """As with Spark's PERMISSIVE and FAILFAST."""
    payloads = payloads_of("bare", tmp_path)
    feed(tmp_path, payloads)
    options = f"format = 'avro', {FRAMINGS['bare'][0]}, bad_records = "
    told = run(tmp_path, "read", READ.format(columns="id BIGINT", options=f"{options}'fail'"), code=65)
    assert "has a bad record: not Avro by this schema" in told and "offset 3" in told
    assert rows(tmp_path / "out") == []
    sql = READ.format(
        columns="id BIGINT, broken STRING", options=f"{options}'null', columnNameOfCorruptRecord = 'broken'"
    )
    run(tmp_path, "nulls", sql)
    texts = [base64.b64decode(payload or "").decode(errors="replace") for payload in payloads[3:8]]
    good = [{"id": number} for number in range(6)]
    assert rows(tmp_path / "out") == [*good[:3], *({"broken": text} for text in texts), *good[3:]]
    assert rows(tmp_path / "bad") == []


def test_rows_are_written_for_other_readers(tmp_path: Path) -> None:
    """A sink registers its schema; fastavro reads what it wrote with it."""
    (tmp_path / "in").mkdir()
    lines = '{"id":1,"name":"a","tags":["x",null],"price":1.25,"at":"2026-03-01T12:00:00.000123Z"}\n{"id":2}\n'
    (tmp_path / "in" / "0.json").write_text(lines, encoding="utf-8")
    sql = """
    CREATE TABLE fed (id BIGINT NOT NULL, name STRING, tags ARRAY<STRING>, price DECIMAL(6,2), at TIMESTAMP)
      WITH (connector = 'files', path = 'in', format = 'json');
    CREATE TABLE topic WITH (connector = 'log', path = 'log', topic = 'orders', format = 'avro', avro_framing = 'confluent',
      schema_registry = 'schemas');
    INSERT INTO topic SELECT * FROM fed;
    """
    run(tmp_path, "write", sql)
    plain = """
    CREATE TABLE orders WITH (connector = 'log', path = 'log', topic = 'orders');
    CREATE TABLE out WITH (connector = 'files', path = 'out', format = 'json');
    INSERT INTO out SELECT value FROM orders;
    """
    run(tmp_path, "plain", plain)
    written = [row["value"] for row in rows(tmp_path / "out")]
    at = "2026-03-01 12:00:00.000123+00:00"
    none = {"name": None, "tags": None, "price": None, "at": None}
    assert payloads_of("read", tmp_path, json.dumps(written)) == [
        {"subject": "orders-value", "id": 1, "name": "a", "tags": ["x", None], "price": "1.25", "at": at},
        {"subject": "orders-value", "id": 2, **none},
    ]


def test_a_registry_that_is_not_there_stops_the_query(tmp_path: Path) -> None:
    """Its records are not bad: nothing is set aside, and the query goes on once the registry is back."""
    payloads = payloads_of("confluent", tmp_path)
    feed(tmp_path, payloads[:3])
    ids = tmp_path / "schemas" / "ids"
    (ids / "1.json").rename(tmp_path / "1.json")
    (ids / "1.json").mkdir()
    options = f"format = 'avro', {FRAMINGS['confluent'][0]}"
    told = run(tmp_path, "read", READ.format(columns="id BIGINT", options=options), code=74)
    assert "1.json" in told
    assert rows(tmp_path / "out") == rows(tmp_path / "bad") == []
    (ids / "1.json").rmdir()
    (tmp_path / "1.json").rename(ids / "1.json")
    run(tmp_path, "read", READ.format(columns="id BIGINT", options=options))
    assert rows(tmp_path / "out") == [{"id": 0}, {"id": 1}, {"id": 2}]


def test_protobuf_of_its_own_runtime(tmp_path: Path) -> None:
    """Enums, lists, maps, messages, well-known types, in Confluent's frame; five bad records in the middle."""
    payloads = payloads_of("protobuf", tmp_path)
    feed(tmp_path, payloads)
    columns = "id BIGINT, state STRING, lines ARRAY<STRUCT<sku: STRING>>, props MAP<STRING, INT>, at TIMESTAMP, note STRING, numbers ARRAY<BIGINT>"
    options = "format = 'protobuf', protobuf_descriptor = 'shop.pb', protobuf_message = 'shop.v1.Order', protobuf_framing = 'confluent'"
    run(tmp_path, "read", READ.format(columns=columns, options=options))
    expected = []
    for number in range(6):
        row = {
            "id": number,
            "state": ("NEW", "PAID")[number % 2],
            "lines": [{"sku": f"s{number}"}],
            "props": {"k": -number},
        }
        row |= {"at": f"2026-03-01T12:00:00.{number:03}Z"} | ({"note": ""} if number % 3 else {})
        expected.append(row | {"numbers": list(range(number))})
    assert rows(tmp_path / "out") == expected
    letters = rows(tmp_path / "bad")
    assert [(letter["offset"], letter["code"]) for letter in letters] == [(at, "MALFORMED") for at in range(3, 8)]
    assert [base64.b64decode(letter["value"]) for letter in letters] == [
        base64.b64decode(p or "") for p in payloads[3:8]
    ]


def test_cloudevents_of_their_sdk(tmp_path: Path) -> None:
    """Structured, binary and batched ones beside each other, and one that is cut off."""
    records = payloads_of("events", tmp_path)
    feed(tmp_path, records)
    columns = "ce_id STRING, ce_source STRING, ce_time TIMESTAMP, ce_tenant STRING, id BIGINT, name STRING"
    run(tmp_path, "read", READ.format(columns=columns, options="format = 'cloudevents'"))
    same = {"ce_source": "/shop/é", "ce_time": "2026-03-01T12:00:00.000Z", "ce_tenant": "t1"}
    expected = [{"ce_id": f"e{number}", **same, "id": number, "name": f"n{number}"} for number in (0, 1, 2, 3, 0, 2)]
    assert rows(tmp_path / "out") == expected
    letters = rows(tmp_path / "bad")
    assert [(letter["offset"], letter["value"]) for letter in letters] == [(2, records[2]["value"])]


def test_changes_of_debezium_are_rows(tmp_path: Path) -> None:
    """Bare and wrapped events, a tombstone, and a bad one between them."""
    source = {"connector": "mysql", "ts_ms": 1772366400005, "db": "shop", "table": "orders", "file": "bin.1", "pos": 4}

    def event(op: str, before: dict | None, after: dict | None) -> dict:
        return {"before": before, "after": after, "source": source, "op": op, "ts_ms": 1772366400999}

    row, next_row = {"id": 1, "name": "a", "at": 1772366400123}, {"id": 1, "name": "b", "at": 1772366400124}
    events = [
        event("c", None, row),
        {"schema": {"type": "struct", "fields": []}, "payload": event("u", row, next_row)},
        "bad",
        event("d", next_row, None),
        None,
    ]
    encoded = [None if one is None else base64.b64encode(json.dumps(one).encode()).decode() for one in events]
    feed(tmp_path, encoded)
    columns = "id BIGINT, name STRING, at TIMESTAMP_NTZ, _op STRING, _ts TIMESTAMP, _before STRUCT<name: STRING>"
    options = "format = 'debezium-json', debezium_time_unit = 'millis'"
    run(tmp_path, "read", READ.format(columns=columns, options=options))
    ts = "2026-03-01T12:00:00.005Z"
    assert rows(tmp_path / "out") == [
        {"id": 1, "name": "a", "at": "2026-03-01T12:00:00.123", "_op": "c", "_ts": ts},
        {"id": 1, "name": "b", "at": "2026-03-01T12:00:00.124", "_op": "u", "_ts": ts, "_before": {"name": "a"}},
        {"id": 1, "name": "b", "at": "2026-03-01T12:00:00.124", "_op": "d", "_ts": ts, "_before": {"name": "b"}},
    ]
    letters = rows(tmp_path / "bad")
    assert [(letter["offset"], base64.b64decode(letter["value"])) for letter in letters] == [(2, b'"bad"')]
