"""The handler of foreachBatch writes: real databases, and a program that is killed between two of them."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from tidemill.errors import IllegalArgumentException
from tidemill.exactly_once_handler import ExactlyOnceHandler, StoreOutOfStep, TwoStores, message_key, validate

BATCHES, ROWS = 12, 20

PROGRAM = """
import os, signal, sqlite3, sys
from tidemill import Session, functions as F
from tidemill.exactly_once_handler import ExactlyOnceHandler, TwoStores

folder, kill_at = sys.argv[1], int(sys.argv[2])

class Killer:
    # a connection that ends the process between the commit of the first store and that of the second
    def __init__(self, path):
        self.connection, self.commits = sqlite3.connect(path, check_same_thread=False), 0
    def __getattr__(self, name):
        return getattr(self.connection, name)
    def commit(self):
        self.commits += 1
        if self.commits > 1 and kill_at == self.batch:
            os.kill(os.getpid(), signal.SIGKILL)
        self.connection.commit()

killer = []
def second():
    killer.append(Killer(folder + "/second.db"))
    return killer[0]

both = TwoStores(
    ExactlyOnceHandler(lambda: sqlite3.connect(folder + "/first.db", check_same_thread=False), "pairs"),
    ExactlyOnceHandler(second, "pairs"),
)

def write(batch, batch_id):
    rows = [tuple(row) for row in batch.collect()]
    both.second.newest_batch()
    killer[0].batch = batch_id
    with both.transaction(batch_id) as cursors:
        for cursor in filter(None, cursors):
            cursor.execute("CREATE TABLE IF NOT EXISTS rows (n INTEGER)")
            cursor.executemany("INSERT INTO rows VALUES (?)", rows)

spark = Session.builder.getOrCreate()
stream = spark.readStream.schema("n INT").option("maxFilesPerTrigger", 1).json(folder + "/in")
write_stream = stream.writeStream.queryName("pairs").option("checkpointLocation", folder + "/ck")
write_stream.trigger(availableNow=True).foreachBatch(write).start().awaitTermination()
"""


def handler(path: Path, **options: object) -> ExactlyOnceHandler:
    return ExactlyOnceHandler(lambda: sqlite3.connect(path, check_same_thread=False), "q", **options)


def rows(path: Path) -> list[int]:
    with sqlite3.connect(path) as connection:
        return [n for (n,) in connection.execute("SELECT n FROM rows")]


def insert(guard: ExactlyOnceHandler, batch_id: int, n: int) -> bool:
    with guard.transaction(batch_id) as cursor:
        if cursor is None:
            return False
        cursor.execute("CREATE TABLE IF NOT EXISTS rows (n INTEGER)")
        cursor.execute("INSERT INTO rows VALUES (?)", (n,))
        return True


def test_a_batch_that_comes_again_is_passed_over(tmp_path: Path) -> None:
    assert insert(handler(tmp_path / "a.db"), 0, 1)
    again = handler(tmp_path / "a.db")
    assert not insert(again, 0, 1)
    assert insert(again, 1, 2)
    assert rows(tmp_path / "a.db") == [1, 2]
    assert again.newest_batch() == 1


def test_an_exception_undoes_rows_and_batch(tmp_path: Path) -> None:
    guard = handler(tmp_path / "a.db")
    insert(guard, 0, 1)
    with pytest.raises(ZeroDivisionError), guard.transaction(1) as cursor:
        cursor.execute("INSERT INTO rows VALUES (2)")
        raise ZeroDivisionError
    assert guard.newest_batch() == 0
    assert rows(tmp_path / "a.db") == [1]
    assert insert(guard, 1, 3)


@pytest.mark.parametrize("batch_id", [3, 6])
def test_a_batch_out_of_step_is_refused(tmp_path: Path, batch_id: int) -> None:
    guard = handler(tmp_path / "a.db")
    insert(guard, 4, 1)
    with pytest.raises(StoreOutOfStep, match="does not follow batch 4"):
        insert(guard, batch_id, 2)
    assert rows(tmp_path / "a.db") == [1]


def test_a_connection_without_transactions_is_refused(tmp_path: Path) -> None:
    guard = ExactlyOnceHandler(lambda: sqlite3.connect(tmp_path / "a.db", isolation_level=None), "q")
    with pytest.raises(IllegalArgumentException, match="transactions"):
        insert(guard, 0, 1)


def test_a_key_is_seen_until_its_time_is_over_and_only_if_committed(tmp_path: Path) -> None:
    now = [0.0]
    guard = handler(tmp_path / "a.db", ttl_seconds=10, clock=lambda: now[0])
    with guard.transaction(0) as cursor:
        assert guard.unseen(cursor, ["a", "b", "a"]) == ["a", "b"]
    with pytest.raises(KeyError), guard.transaction(1) as cursor:
        assert guard.unseen(cursor, ["a", "c"]) == ["c"]
        raise KeyError
    with guard.transaction(1) as cursor:
        assert guard.unseen(cursor, ["a", "c"]) == ["c"]
    now[0] = 10.0
    with guard.transaction(2) as cursor:
        assert guard.unseen(cursor, ["a", "c"]) == ["a", "c"]


def test_keys_are_the_same_everywhere_and_types_count() -> None:
    command = "from tidemill.exactly_once_handler import message_key; print(message_key('t', 3, 17, None))"
    other = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True)
    assert other.stdout.strip() == message_key("t", 3, 17, None)
    assert len({message_key("1", "23"), message_key("12", "3"), message_key(1, "23"), message_key(b"1", "23")}) == 4


def test_when_one_of_two_stores_refuses_neither_has_the_batch(tmp_path: Path) -> None:
    both = TwoStores(handler(tmp_path / "a.db"), handler(tmp_path / "b.db"))
    with pytest.raises(sqlite3.OperationalError), both.transaction(0) as (first, second):
        first.execute("CREATE TABLE rows (n INTEGER)")
        second.execute("INSERT INTO nothing VALUES (1)")
    assert both.first.newest_batch() is both.second.newest_batch() is both.settled() is None


def test_a_kill_between_the_commits_of_two_stores_loses_and_doubles_nothing(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for batch in range(BATCHES):
        lines = "".join(f'{{"n": {batch * ROWS + row}}}\n' for row in range(ROWS))
        (tmp_path / "in" / f"{batch:03}.json").write_text(lines)
    kills = 0
    for kill_at in [0, 1, 5, BATCHES - 1, -1]:
        command = [sys.executable, "-c", PROGRAM, str(tmp_path), str(kill_at)]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=60, env=dict(os.environ))
        if ended.returncode == -signal.SIGKILL:
            kills += 1
            first, second = handler_of(tmp_path / "first.db"), handler_of(tmp_path / "second.db")
            assert first.newest_batch() == kill_at
            assert second.newest_batch() == (kill_at - 1 if kill_at else None)
            assert TwoStores(first, second).settled() == (kill_at - 1 if kill_at else None)
            first.close()
            second.close()
        else:
            assert ended.returncode == 0, ended.stderr
    assert kills == 4
    for store in ("first.db", "second.db"):
        found = validate(range(BATCHES * ROWS), rows(tmp_path / store))
        assert found.is_exactly_once, (store, found)


def handler_of(path: Path) -> ExactlyOnceHandler:
    return ExactlyOnceHandler(lambda: sqlite3.connect(path, check_same_thread=False), "pairs")


def test_the_validator_counts_lost_doubled_and_foreign() -> None:
    found = validate(["a", "b", "b", "c"], ["b", "b", "b", "c", "z"])
    assert (found.lost, found.doubled, found.foreign) == (1, 1, 1)
    assert (found.lost_keys, found.doubled_keys, found.foreign_keys) == (("a",), ("b",), ("z",))
    assert not found.is_exactly_once
    assert validate([1, 1], [1, 1]).is_exactly_once
