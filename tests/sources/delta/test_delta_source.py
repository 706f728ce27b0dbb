"""A Delta table as a streaming source. `deltalake`, which is not ours, writes the table and reads what came out.

`TIDEMILL_KILLS=100` runs the test of kills in its long form.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from deltalake import DeltaTable, write_deltalake

TESTS = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(TESTS / "services"), str(TESTS / "kill")]
import buckets  # noqa: E402
import services  # noqa: E402
import validator  # noqa: E402
from pipeline import PROGRAM, ended  # noqa: E402

KILLS = int(os.environ.get("TIDEMILL_KILLS", "10"))
ROWS_A_COMMIT = 5
DATA_LOSS, INVALID = 65, 78
SQL = """
CREATE TABLE orders WITH (connector = 'delta', path = '{path}'{options});
CREATE TABLE results WITH (connector = 'delta', path = '{out}'{out_options});
INSERT INTO results {query};
"""


class Query:
    """A query from one Delta table to another, in a folder."""

    def __init__(self, folder: Path, path: str = "orders", out: str = "results", select: str = "", **options: object):
        self.folder = folder
        self.out = out
        storage = {key: value for key, value in options.items() if key.startswith("storage.")}
        texts = ["".join(f", '{key}' = '{value}'" for key, value in given.items()) for given in (options, storage)]
        query = select or "SELECT id, day, name FROM orders"
        self.sql = folder / "query.sql"
        text = SQL.format(path=path, out=out, options=texts[0], out_options=texts[1], query=query)
        self.sql.write_text(text, encoding="utf-8")

    def start(self, *options: str) -> subprocess.Popen:
        """Starts it; without options it runs until it is stopped."""
        command = [str(PROGRAM), "run", str(self.sql), "--checkpoint", str(self.folder / "ckpt"), "--listen", "off"]
        command += ["--progress", "json", *(options or ("--trigger", "processing-time 5ms"))]
        return subprocess.Popen(command, cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def run(self, code: int = 0) -> str:
        """Reads what is there, and must end with this code; gives what it says."""
        return ended(self.start("--trigger", "available-now"), code)

    def epochs(self) -> list[int]:
        """Reads what is there; gives the rows of each epoch that had any."""
        reports = [json.loads(line) for line in self.run().splitlines() if line.startswith("{")]
        return [report["numInputRows"] for report in reports if report["numInputRows"]]

    def ids(self) -> list[int]:
        """What came out."""
        return sorted(DeltaTable(str(self.folder / self.out)).to_pyarrow_table().column("id").to_pylist())


def rows(ids: range | list[int], **more: list) -> pa.Table:
    """Rows of the table that is read."""
    columns = {
        "id": pa.array(ids, pa.int64()),
        "day": pa.array([f"2026-01-0{id % 3 + 1}" for id in ids], pa.string()),
        "name": pa.array([f"n{id}" for id in ids], pa.string()),
    }
    return pa.table({**columns, **more})


def append(path: Path | str, ids: range | list[int], **options: object) -> None:
    """One more commit."""
    write_deltalake(str(path), rows(ids), mode="append", **options)


def test_kills_lose_and_double_nothing_while_others_write_and_compact(tmp_path: Path) -> None:
    table, query = tmp_path / "orders", Query(tmp_path, max_files_per_trigger=3)
    append(table, range(ROWS_A_COMMIT), partition_by=["day"])
    done = threading.Event()
    written = [ROWS_A_COMMIT]

    def feed() -> None:
        while not done.is_set():
            append(table, range(written[0], written[0] + ROWS_A_COMMIT))
            written[0] += ROWS_A_COMMIT
            if written[0] % 100 == 0:
                DeltaTable(str(table)).optimize.compact()
            done.wait(0.03)

    feeder = threading.Thread(target=feed)
    feeder.start()
    dice, kills = random.Random(11), 0
    try:
        while kills < KILLS:
            process = query.start()
            time.sleep(dice.uniform(0.3, 1.2))
            process.send_signal(signal.SIGKILL)
            process.communicate()
            assert process.returncode == -signal.SIGKILL, "it ended by itself"
            kills += 1
    finally:
        done.set()
        feeder.join()
    query.run()
    wrong = validator.compare(Counter(range(written[0])), Counter(query.ids()))
    assert not wrong, wrong
    print(f"{kills} kills, {written[0]} rows, {DeltaTable(str(table)).version()} versions", file=sys.stderr)


def test_rows_of_all_types_come_as_they_are_and_only_asked_columns_are_read(tmp_path: Path) -> None:
    instant = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=timezone.utc)
    given = pa.table(
        {
            "id": pa.array([1, 2], pa.int32()),
            "amount": pa.array([None, 2], pa.decimal128(10, 2)),
            "at": pa.array([instant, None], pa.timestamp("us", "UTC")),
            "day": pa.array([instant.date(), None], pa.date32()),
            "tags": pa.array([["a", "b"], []], pa.list_(pa.string())),
            "home": pa.array([{"x": 1, "y": "z"}, None], pa.struct([("x", pa.int64()), ("y", pa.string())])),
            "payload": pa.array([b"\x00\x01", None], pa.binary()),
        }
    )
    write_deltalake(str(tmp_path / "orders"), given, partition_by=["day", "id"])
    query = Query(tmp_path, select="SELECT * FROM orders")
    assert query.epochs() == [2]
    came = DeltaTable(str(tmp_path / "results")).to_pyarrow_table().sort_by("id").select(given.column_names)
    assert came.to_pylist() == given.to_pylist()
    # a damaged column that nobody asks for is not even looked at
    wide = tmp_path / "wide"
    wide.mkdir()
    write_deltalake(str(wide / "orders"), pa.table({"id": [1, 2, 3], "name": ["a", "b", "c"]}))
    (file,) = (wide / "orders").glob("*.parquet")
    column = parquet.ParquetFile(file).metadata.row_group(0).column(1)
    first = column.dictionary_page_offset or column.data_page_offset
    content = bytearray(file.read_bytes())
    content[first : first + column.total_compressed_size] = b"\xff" * column.total_compressed_size
    file.write_bytes(content)
    narrow = Query(wide, select="SELECT id FROM orders")
    assert narrow.epochs() == [3]
    assert narrow.ids() == [1, 2, 3]
    whole = tmp_path / "whole"
    whole.mkdir()
    assert "is damaged" in Query(whole, path=str(wide / "orders"), select="SELECT * FROM orders").run(DATA_LOSS)


def test_the_snapshot_comes_first_then_each_version_within_limits(tmp_path: Path) -> None:
    table = tmp_path / "orders"
    for first in range(0, 40, 10):
        append(table, range(first, first + 10))
    query = Query(tmp_path, maxFilesPerTrigger=3)
    assert query.epochs() == [30, 10]
    assert query.epochs() == []
    append(table, range(40, 45))
    DeltaTable(str(table)).optimize.compact()
    append(table, range(45, 50))
    assert query.epochs() == [10], "compaction brings nothing"
    assert query.ids() == list(range(50))
    by_bytes = tmp_path / "bytes"
    by_bytes.mkdir()
    limited = Query(by_bytes, path=str(table), max_bytes_per_trigger="1b", starting_version=5)
    assert limited.epochs() == [5]
    assert limited.ids() == list(range(45, 50))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"startingVersion": 1}, range(10, 40)),
        ({"startingVersion": "latest"}, range(30, 40)),
        ({"startingTimestamp": "{}"}, range(20, 40)),
    ],
)
def test_a_new_query_begins_where_it_is_told(tmp_path: Path, options: dict[str, str], expected: range) -> None:
    table = tmp_path / "orders"
    for number in range(3):
        append(table, range(number * 10, number * 10 + 10))
        log = table / "_delta_log" / f"{number:020}.json"
        made = datetime(2026, 1, 1, tzinfo=timezone.utc) + timedelta(days=number)
        os.utime(log, (made.timestamp(), made.timestamp()))
    query = Query(tmp_path, **{key: str(value).format("2026-01-02T12:00:00Z") for key, value in options.items()})
    query.run()
    append(table, range(30, 40))
    query.run()
    assert query.ids() == list(expected)


def test_a_beginning_that_is_not_there_is_refused(tmp_path: Path) -> None:
    append(tmp_path / "orders", range(3))
    for options, code, told in [
        ({"starting_version": 7}, DATA_LOSS, "holds the versions 0 to 0"),
        ({"starting_timestamp": "2099-01-01"}, INVALID, "as new as starting_timestamp"),
        ({"starting_version": 0, "starting_timestamp": "2020-01-01"}, INVALID, "both given"),
    ]:
        assert told in Query(tmp_path, **options).run(code)


def test_deleted_and_changed_rows_stop_the_query_unless_it_is_told_what_to_make_of_them(tmp_path: Path) -> None:
    table = tmp_path / "orders"
    append(table, range(10), partition_by=["day"])
    plain = Query(tmp_path)
    plain.run()
    DeltaTable(str(table)).delete("day = '2026-01-01'")
    told = plain.run(DATA_LOSS)
    assert "version 1 (DELETE) of the delta table at orders deletes rows" in told
    assert "ignore_deletes" in told
    deletes = Query(tmp_path, ignoreDeletes="true")
    deletes.run()
    DeltaTable(str(table)).update(updates={"name": "'new'"}, predicate="id = 1")
    append(table, range(10, 12))
    assert "version 2 (UPDATE)" in deletes.run(DATA_LOSS)
    shutil.copytree(tmp_path, changes := tmp_path.with_name(f"{tmp_path.name}-changes"))
    skips = Query(tmp_path, skipChangeCommits="true")
    skips.run()
    assert skips.ids() == list(range(12))
    whole = Query(changes, ignoreChanges="true")
    whole.run()
    again = [id for id in range(10) if f"2026-01-0{id % 3 + 1}" == "2026-01-02"]
    assert whole.ids() == sorted([*range(12), *again]), "the rewritten file comes whole"


def test_other_columns_stop_the_query_and_a_restart_reads_on_with_them(tmp_path: Path) -> None:
    table = tmp_path / "orders"
    append(table, range(3))
    query = Query(tmp_path, select="SELECT * FROM orders")
    lasting = tmp_path / "lasting"
    lasting.mkdir()
    old = Query(lasting, path=str(table), evolve="ignore")
    processes = [query.start(), old.start()]
    for folder in (tmp_path, lasting):
        until(lambda folder=folder: (folder / "results" / "_delta_log" / f"{1:020}.json").exists())
    more = rows(range(3, 6), color=pa.array(["red"] * 3))
    write_deltalake(str(table), more, mode="append", schema_mode="merge")
    told = ended(processes[0], DATA_LOSS)
    assert "version 1 of the delta table at orders has other columns: added 'color' string" in told
    until(lambda: len(Query.ids(old)) == 6)
    processes[1].terminate()
    ended(processes[1])
    # the table that is written has no such column yet
    write_deltalake(str(tmp_path / "results"), more.slice(0, 0), mode="append", schema_mode="merge")
    assert "evolve" not in query.run()
    came = DeltaTable(str(tmp_path / "results")).to_pyarrow_table().sort_by("id")
    assert came.column("color").to_pylist() == [None] * 3 + ["red"] * 3


def test_versions_and_files_that_are_gone_are_told_and_passed_over_only_when_asked(tmp_path: Path) -> None:
    table = tmp_path / "orders"
    append(table, range(10))
    query = Query(tmp_path)
    query.run()
    for first in range(10, 40, 10):
        append(table, range(first, first + 10))
    log = table / "_delta_log"
    DeltaTable(str(table)).create_checkpoint()
    (log / f"{1:020}.json").unlink()
    told = query.run(DATA_LOSS)
    assert "versions 1 to 1 are gone from the log of the delta table at orders" in told
    assert "fail_on_data_loss" in told
    action = next(json.loads(line) for line in (log / f"{2:020}.json").read_text().splitlines() if '"add"' in line)
    (table / action["add"]["path"]).unlink()
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    told = Query(fresh, path=str(table), starting_version=2).run(DATA_LOSS)
    assert "is gone, and was not read: VACUUM removed it" in told
    lenient = Query(tmp_path, fail_on_data_loss="false")
    assert "versions are gone from the log and were not read" in lenient.run()
    assert lenient.ids() == [*range(10), *range(30, 40)]


def test_a_table_that_was_made_again_is_not_taken_for_the_old_one(tmp_path: Path) -> None:
    table, query = tmp_path / "orders", Query(tmp_path)
    append(table, range(3))
    query.run()
    shutil.rmtree(table)
    append(table, range(3, 6))
    assert "it was dropped and made again" in query.run(DATA_LOSS)
    assert query.ids() == [0, 1, 2]


def test_what_cannot_be_read_is_refused_by_name(tmp_path: Path) -> None:
    table = tmp_path / "orders"
    append(table, range(3))
    (file,) = table.glob("*.parquet")
    add = {"path": file.name, "partitionValues": {}, "size": file.stat().st_size, "modificationTime": 0}
    vector = {"storageType": "u", "pathOrInlineDv": "x" * 20, "offset": 1, "sizeInBytes": 1, "cardinality": 1}
    line = json.dumps({"add": {**add, "dataChange": True, "deletionVector": vector}})
    (table / "_delta_log" / f"{1:020}.json").write_text(line + "\n", encoding="utf-8")
    assert "has a deletion vector" in Query(tmp_path, starting_version=1).run(INVALID)
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "delta table at" in Query(tmp_path, path=str(empty)).run(INVALID)


@pytest.fixture(scope="module")
def stores() -> Iterator[dict[str, str]]:
    """Both object stores, each with an empty bucket."""
    with services.running(["azurite", "s3"]) as env:
        buckets.s3(env["S3_ENDPOINT"], "create")
        buckets.azure(env, "PUT", f"/{buckets.BUCKET}?restype=container")
        yield env


@pytest.mark.parametrize("store", ["s3"])
def test_object_stores_through_kills(tmp_path: Path, stores: dict[str, str], store: str) -> None:
    place = {"s3": "s3", "azure": "az"}[store] + f"://{buckets.BUCKET}/orders"
    given = buckets.s3_options(stores["S3_ENDPOINT"]) if store == "s3" else buckets.azure_options(stores)
    storage = {f"storage.{key}": value for key, value in given.items()}
    client = {**given, "aws_allow_http": "true"} if store == "s3" else given
    query = Query(tmp_path, path=place, max_files_per_trigger=1, poll_interval="50ms", **storage)
    # what comes out stays here
    query.sql.write_text(query.sql.read_text().replace("path = 'results'", f"path = '{tmp_path / 'results'}'"))
    dice, kills, written = random.Random(3), 0, 0
    while kills < 4:
        for _ in range(6):
            append(place, range(written, written + ROWS_A_COMMIT), storage_options=client)
            written += ROWS_A_COMMIT
        process = query.start()
        time.sleep(dice.uniform(0.4, 1.0))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        kills += 1
    query.run()
    wrong = validator.compare(Counter(range(written)), Counter(query.ids()))
    assert not wrong, wrong


def until(condition, seconds: float = 30.0) -> None:
    """Waits for a condition."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.02)
