#!/usr/bin/env python3
"""Spark reads a Delta table that is merged into, beside DuckDB and `deltalake`; none of them may see half an epoch.

    read_by_spark.py PROGRAM [--reads 5]

Takes a PySpark for which there is a Delta (`delta-spark.pom.xml` names it; the newest Spark may have none yet), from the
package index into a folder of the cache, and its jars from Maven: some 500 MB the first time, and a minute or two, so it is
no part of `make test`. The table and what must hold of it are those of test_readers.py.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "services")]

import test_readers  # noqa: E402
from harness import cache_folder  # noqa: E402

SPARK = "4.2"
POM = HERE / "delta-spark.pom.xml"
READER = """
import sys
from glob import glob
from pyspark.sql import SparkSession

jars, table = sys.argv[1:]
spark = (
    SparkSession.builder.master("local[1]").config("spark.jars", ",".join(glob(f"{jars}/*.jar")))
    .config("spark.sql.extensions", "io.delta.sql.DeltaSparkSessionExtension")
    .config("spark.sql.catalog.spark_catalog", "org.apache.spark.sql.delta.catalog.DeltaCatalog")
    .config("spark.ui.enabled", "false").config("spark.ui.showConsoleProgress", "false")
    .config("spark.sql.shuffle.partitions", "1").config("spark.log.level", "ERROR").getOrCreate()
)
for _ in sys.stdin:
    rows = spark.read.format("delta").load(table)
    found = rows.selectExpr("count(*)", "count(DISTINCT account)", "coalesce(sum(total), 0)").first()
    print("read", *found, flush=True)
"""


def main() -> int:
    """Reads until it was asked often enough; 0 when every reader saw whole epochs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=Path, help="the tidemill program")
    parser.add_argument("--reads", type=int, default=5, help="reads while the pipeline writes")
    asked = parser.parse_args()
    python, jars = pyspark(), delta()
    test_readers.PROGRAM = asked.program.resolve()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        table = root / "accounts"
        balances = test_readers.feed(root / "in")
        writer = start(root)
        command = [str(python), "-c", READER, str(jars), str(table)]
        spark = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            for number in range(asked.reads):
                wait_for(table)
                check(f"read {number}", table, spark)
                more(root, number)
        finally:
            writer.send_signal(signal.SIGTERM)
            code = writer.wait(120)
        assert code == 0, f"the pipeline ended with code {code}"
        rows = check("the end", table, spark)
        assert rows == len(balances), f"{rows} accounts, not {len(balances)}"
        spark.stdin.close()
        spark.wait(60)
    print(f"Spark {SPARK}, DuckDB and deltalake saw whole epochs only, {asked.reads} times beside the writer")
    return 0


def pyspark() -> Path:
    """A Python with that Spark."""
    folder = cache_folder(f"pyspark-{SPARK}")
    python = folder / "bin" / "python"
    if not (folder / "whole").exists():
        venv.create(folder, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "-q", f"pyspark=={SPARK}.*"], check=True)
        (folder / "whole").touch()
    return python


def delta() -> Path:
    """A folder with the jars of Delta."""
    folder = cache_folder(f"delta-spark-{SPARK}")
    if not (folder / "whole").exists():
        copy = [
            "mvn",
            "-B",
            "-q",
            "-f",
            str(POM),
            "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies",
        ]
        subprocess.run([*copy, f"-DoutputDirectory={folder}", "-DincludeGroupIds=io.delta,io.unitycatalog"], check=True)
        (folder / "whole").touch()
    return folder


def start(root: Path) -> subprocess.Popen:
    """The pipeline, an epoch now and then for as long as it is let."""
    (root / "merge.sql").write_text(test_readers.SQL, encoding="utf-8")
    command = [str(test_readers.PROGRAM), "run", "merge.sql", "--trigger", "processing-time 200ms"]
    log = (root / "writer.log").open("wb")
    return subprocess.Popen(
        [*command, "--checkpoint", "ckpt", "--listen", "off", "--progress", "off"], cwd=root, stdout=log, stderr=log
    )


def more(root: Path, number: int) -> None:
    """Input again, so that the writer is at work during the next read: the first files under other names."""
    for file in sorted((root / "in").glob("00*.json"))[:20]:
        os.link(file, root / "in" / f"{number + 1}{file.name}")


def wait_for(table: Path) -> None:
    """There is something to read."""
    import time

    deadline = time.monotonic() + 60
    while len(list(table.glob("_delta_log/*.json"))) < 2:
        assert time.monotonic() < deadline, "the table never came"
        time.sleep(0.05)


def check(when: str, table: Path, spark: subprocess.Popen) -> int:
    """All three see whole epochs; how many accounts Spark saw."""
    version = test_readers.DeltaTable(str(table)).version()
    spark.stdin.write("again\n")
    spark.stdin.flush()
    line = spark.stdout.readline()
    assert line.startswith("read "), f"Spark ended: {line}"
    by_spark = tuple(int(word) for word in line.split()[1:])
    others = {"deltalake": test_readers.by_deltalake(table), "DuckDB": test_readers.by_duckdb(table)}
    after = test_readers.DeltaTable(str(table)).version()
    for name, (rows, accounts, total) in {"Spark": by_spark, **others}.items():
        assert rows == accounts and total == 0, (
            f"{when}: {name} saw {rows} rows of {accounts} accounts with sum {total}"
        )
    print(f"{when}, versions {version} to {after}: Spark {by_spark[0]} rows, sum {by_spark[2]}", flush=True)
    return by_spark[0]


if __name__ == "__main__":
    sys.exit(main())
