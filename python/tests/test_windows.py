"""What Tidemill's windows have beyond Spark's: late rows as a table, an idle timeout, windows that grow."""

from __future__ import annotations

import datetime
import json
import time
from pathlib import Path

import pytest
from tidemill import functions as F
from tidemill.errors import AnalysisException
from tidemill.session import Session

EVENTS = "ts TIMESTAMP, k STRING, note STRING"
NOON = datetime.datetime(2026, 1, 1, 12, tzinfo=datetime.timezone.utc)


def write(directory: Path, name: str, *rows: tuple[int, str, str]) -> None:
    """A file of events, each with its minutes after noon; it is there whole at once."""
    directory.mkdir(exist_ok=True)
    lines = [
        {"ts": (NOON + datetime.timedelta(minutes=at)).isoformat(), "k": key, "note": note} for at, key, note in rows
    ]
    staged = directory.parent / f"{directory.name}-{name}"
    staged.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    staged.rename(directory / name)


def read(directory: Path) -> list[dict]:
    """The rows of the JSON files that a query has written."""
    lines = [line for file in sorted(directory.glob("*.json")) for line in file.read_text("utf-8").splitlines()]
    return [json.loads(line) for line in lines]


def test_late_rows_are_kept_once_with_what_made_them_late(spark: Session, tmp_path: Path) -> None:
    events = spark.readStream.schema(EVENTS).json(str(tmp_path / "in")).withWatermark("ts", "10 minutes")
    counts = events.groupBy(F.window("ts", "10 minutes", "5 minutes"), "k").count()
    writer = counts.writeStream.format("json").option("checkpointLocation", tmp_path / "checkpoint")
    writer = writer.lateRows("json", tmp_path / "late")
    write(tmp_path / "in", "1.json", (1, "a", ""), (31, "a", ""))
    query = writer.start(tmp_path / "out")
    query.processAllAvailable()
    write(tmp_path / "in", "2.json", (2, "a", "both windows are over"), (18, "b", "one is"), (25, "c", "in time"))
    query.processAllAvailable()
    query.stop()
    query = writer.start(tmp_path / "out")
    query.processAllAvailable()
    query.stop()
    late = read(tmp_path / "late")
    assert [(row["k"], row["note"], row["late_window_start"][11:16]) for row in late] == [
        ("a", "both windows are over", "11:55"),
        ("a", "both windows are over", "12:00"),
        ("b", "one is", "12:10"),
    ]
    assert {row["late_watermark"][11:16] for row in late} == {"12:21"}


def test_late_rows_need_a_watermark(spark: Session, tmp_path: Path) -> None:
    counts = spark.readStream.schema(EVENTS).json(str(tmp_path)).groupBy("k").count()
    writer = counts.writeStream.format("console").outputMode("complete").lateRows("console")
    with pytest.raises(AnalysisException, match="no row of this query can be late"):
        writer.start()


def test_an_idle_source_holds_the_watermark_only_for_its_timeout(spark: Session, tmp_path: Path) -> None:
    def stream(name: str):
        reader = spark.readStream.schema(EVENTS).option("idle_timeout", "200ms")
        return reader.json(str(tmp_path / name)).withWatermark("ts", "0 seconds")

    (tmp_path / "quiet").mkdir()
    write(tmp_path / "busy", "1.json", (1, "a", ""), (11, "b", ""))
    both = stream("busy").union(stream("quiet"))
    counts = both.groupBy(F.window("ts", "10 minutes"), "k").count()
    writer = counts.writeStream.format("json").option("checkpointLocation", tmp_path / "checkpoint")
    query = writer.start(tmp_path / "out")
    query.processAllAvailable()
    deadline = time.monotonic() + 60
    number = 1
    while not (rows := read(tmp_path / "out")) and time.monotonic() < deadline:
        number += 1
        write(tmp_path / "busy", f"{number}.json", (11, "b", ""))
        query.processAllAvailable()
        time.sleep(0.1)
    query.stop()
    assert [(row["k"], row["count"]) for row in rows] == [("a", 1)]


def test_windows_that_grow(spark: Session, tmp_path: Path) -> None:
    write(tmp_path / "in", "1.json", (5, "a", ""), (25, "b", ""), (70, "c", ""))
    events = spark.readStream.schema(EVENTS).json(str(tmp_path / "in"))
    totals = events.groupBy(F.cumulate_window("ts", "1 hour", "20 minutes")).count()
    query = totals.writeStream.format("memory").queryName("totals").outputMode("complete").start()
    query.processAllAvailable()
    rows = spark.sql("SELECT date_format(window.end, 'HH:mm') AS until, count FROM totals ORDER BY until").collect()
    assert [(row["until"], row["count"]) for row in rows] == [
        ("12:20", 1),
        ("12:40", 2),
        ("13:00", 2),
        ("13:20", 1),
        ("13:40", 1),
        ("14:00", 1),
    ]
    query.stop()
