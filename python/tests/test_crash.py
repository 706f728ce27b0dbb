"""A record on which a Python function ends the interpreter is found by the next starts, and set aside."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import os, signal, sys
from tidemill import functions as F
from tidemill.session import Session

@F.udf("INT")
def deadly(number):
    if number == 7777:
        os.kill(os.getpid(), signal.SIGSEGV)
    return number * 2

os.chdir(sys.argv[1])
with Session() as spark:
    frame = spark.readStream.schema("n INT").json("in").select("n", deadly(F.col("n")).alias("twice"))
    query = frame.writeStream.format("json").option("path", "out").option("checkpointLocation", "ck")
    query.trigger(availableNow=True).start().awaitTermination(120)
"""

RECORDS = 10_000
# two deaths, one a halving of 10,000 records, one more of the record alone
STARTS_MAX = 2 + 14 + 1 + 1


def start(folder: Path) -> int:
    """Runs the program once; its exit code, negative for a signal."""
    program = [sys.executable, "-c", PROGRAM, str(folder)]
    return subprocess.run(program, stderr=subprocess.DEVNULL, timeout=120, check=False).returncode


def test_the_record_is_found_by_starts_that_die_and_then_set_aside(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    lines = [f'{{"n": {number}}}\n' for number in range(RECORDS)]
    (folder / "a.json").write_text("".join(lines), encoding="utf-8")

    codes = [start(tmp_path)]
    while codes[-1] != 0:
        assert codes[-1] == -11, codes
        assert len(codes) < STARTS_MAX, codes
        codes.append(start(tmp_path))

    rows = [json.loads(line) for file in (tmp_path / "out").glob("*.json") for line in file.open(encoding="utf-8")]
    assert sorted(row["n"] for row in rows) == [n for n in range(RECORDS) if n != 7777]
    assert all(row["twice"] == row["n"] * 2 for row in rows)
    assert start(tmp_path) == 0
