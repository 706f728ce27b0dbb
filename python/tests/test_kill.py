"""A program with a foreachBatch function is killed (SIGKILL) at random moments; nothing is lost and nothing doubled."""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator

import deltalake
import pytest

ROWS, ROWS_AN_EPOCH = 4_000, 100
KILLS = 5
SECONDS_MAX = 120.0

PROGRAM = """
import sys
from tidemill import StreamProcessor, functions as F

log, checkpoint, table, trigger, epoch = sys.argv[1:]
stream = StreamProcessor("log", log, options={"maxOffsetsPerTrigger": int(epoch)}).read_stream(
    "user-events", "event_id STRING, user_id STRING, timestamp TIMESTAMP"
)
write = stream.writeStream.option("checkpointLocation", checkpoint)
write = write.trigger(availableNow=True) if trigger == "availableNow" else write
query = write.foreachBatch(
    lambda batch, batch_id: batch.withColumn("batch_id", F.lit(batch_id)).write.format("delta").mode("append").save(table)
).start()
query.awaitTermination()
"""


@contextlib.contextmanager
def run(arguments: list[str]) -> Iterator[subprocess.Popen]:
    """The program while it runs; it does not outlive the block."""
    command = [sys.executable, "-c", PROGRAM, *arguments, str(ROWS_AN_EPOCH)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def commits_in(table: str) -> int:
    log = f"{table}/_delta_log"
    return sum(name.endswith(".json") for name in os.listdir(log)) if os.path.isdir(log) else 0


def test_nothing_is_lost_or_doubled(tmp_path, produce):
    produce(ROWS)
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    places = [str(tmp_path / "log"), str(tmp_path / "checkpoint"), str(tmp_path / "table")]
    until, kills = time.monotonic() + SECONDS_MAX, 0
    while kills < KILLS and commits_in(places[2]) < ROWS / ROWS_AN_EPOCH and time.monotonic() < until:
        before = commits_in(places[2])
        with run([*places, "asap"]) as process:
            # it is killed while it works, not while Python starts
            while commits_in(places[2]) <= before and process.poll() is None and time.monotonic() < until:
                time.sleep(0.01)
            time.sleep(chance.uniform(0, 0.2))
            process.kill()
            _, error = process.communicate()
        assert process.returncode == -9, error
        kills += 1
    if kills == 0:
        pytest.fail("it was never killed")
    with run([*places, "availableNow"]) as last:
        _, error = last.communicate(timeout=SECONDS_MAX)
    assert last.returncode == 0, error
    table = deltalake.DeltaTable(places[2]).to_pyarrow_table()
    ids = table.column("event_id").to_pylist()
    assert (len(ids), len(set(ids))) == (ROWS, ROWS)
    batches = sorted(set(table.column("batch_id").to_pylist()))
    assert batches == list(range(len(batches)))
