"""Data sources written in Python: the same classes give the same rows on PySpark, and kills lose and double nothing.

`TIDEMILL_KILLS=100` runs the tests of kills in their long form.
"""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pyarrow.parquet as parquet
import pytest
from deltalake import DeltaTable

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "kill"))
import validator  # noqa: E402

KILLS = int(os.environ.get("TIDEMILL_KILLS", "10"))
RUN_SECONDS = 120.0


def start(engine: str, source: str, folder: Path, out: str, *more: str) -> subprocess.Popen:
    """Starts a reader of the folder's journal."""
    python = sys.executable if engine == "tidemill" else str(Path(os.environ["TIDEMILL_BENCH_VENV"]) / "bin" / "python")
    command = [python, str(HERE / "read_journal.py"), engine, source]
    command += [str(folder / "journal"), str(folder / out), str(folder / f"{out}-ckpt"), *more]
    # Spark's warehouse and the like go into the folder
    # Spark starts processes of its own, which import the classes too
    env = os.environ | {"PYTHONPATH": f"{HERE.parents[2] / 'python'}{os.pathsep}{HERE}", "PYSPARK_PYTHON": python}
    return subprocess.Popen(command, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def run(engine: str, source: str, folder: Path, out: str, *more: str, fails: bool = False) -> str:
    """Reads what is there; gives what was said."""
    process = start(engine, source, folder, out, *more)
    told = "".join(process.communicate(timeout=RUN_SECONDS))
    assert (process.returncode != 0) == fails, told
    return told


def write(folder: Path, numbers: range, *lines: str) -> None:
    """Lines at the end of the journal."""
    with (folder / "journal").open("a", encoding="utf-8") as journal:
        journal.write("".join(f"{line}\n" for line in [*numbers, *lines]))


def rows(out: Path) -> list[tuple]:
    """What was written into Parquet files."""
    found = [parquet.read_table(file).to_pylist() for file in out.glob("*.parquet")]
    return sorted(tuple(row.values()) for table in found for row in table)


def test_the_same_classes_give_the_same_rows_as_on_pyspark(tmp_path: Path) -> None:
    write(tmp_path, range(500))
    spark = {source: start("pyspark", source, tmp_path, f"{source}-spark") for source in ("journal", "simple_journal")}
    ours = {}
    for source, more in [("journal", []), ("journal", ["arrow=true"]), ("simple_journal", [])]:
        out = f"{source}-ours{''.join(more)}"
        run("tidemill", source, tmp_path, out, *more)
        ours[out] = rows(tmp_path / out)
    for process in spark.values():
        told = "".join(process.communicate(timeout=RUN_SECONDS))
        assert process.returncode == 0, told
    expected = rows(tmp_path / "journal-spark")
    assert len(expected) == len([id for id in range(500) if id % 7 != 3])
    assert rows(tmp_path / "simple_journal-spark") == expected
    assert ours == dict.fromkeys(ours, expected)


@pytest.mark.parametrize("source", ["journal", "simple_journal"])
def test_kills_lose_and_double_nothing(tmp_path: Path, source: str) -> None:
    dice, written = random.Random(5), 0
    write(tmp_path, range(0))
    for _ in range(KILLS):
        process = start("tidemill", source, tmp_path, "out", "--follow", "most=7")
        dies = time.monotonic() + dice.uniform(0.6, 1.4)
        while time.monotonic() < dies:
            write(tmp_path, range(written, written + 5))
            written += 5
            time.sleep(dice.uniform(0.005, 0.05))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL, "it ended by itself"
    due = Counter(id for id in range(written) if id % 7 != 3)
    process = start("tidemill", source, tmp_path, "out", "--follow")
    deadline = time.monotonic() + RUN_SECONDS
    seen: Counter = Counter()
    while seen.total() < due.total() and time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
        seen = Counter(DeltaTable(str(tmp_path / "out")).to_pyarrow_table().column("id").to_pylist())
    process.kill()
    process.communicate()
    wrong = validator.compare(due, seen)
    assert not wrong, wrong
    if source == "journal":
        committed = [int(line) for line in (tmp_path / "journal.committed").read_text().split()]
        assert committed and max(committed) <= written
    print(f"{KILLS} kills, {written} rows", file=sys.stderr)


def test_an_error_of_the_source_says_where_it_is_and_the_range_is_read_again(tmp_path: Path) -> None:
    write(tmp_path, range(10), "broken")
    told = run("tidemill", "journal", tmp_path, "out", fails=True)
    assert "the data source journal failed: ValueError: this line is broken" in told
    assert f"{HERE / 'journal.py'}:" in told and "in row" in told
    assert rows(tmp_path / "out") == []
    mended = (tmp_path / "journal").read_text().replace("broken", "10")
    (tmp_path / "journal").write_text(mended, encoding="utf-8")
    run("tidemill", "journal", tmp_path, "out")
    assert [row[0] for row in rows(tmp_path / "out")] == [id for id in range(11) if id % 7 != 3]
