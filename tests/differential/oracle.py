"""The real Spark as a process: a line with a case comes in, a line with its answer goes out.

Runs in the environment of `scripts/setup spark`. One session serves all cases. A line is
`{"case": {..}, "form": "dataframe" or "sql"}`; the answer is `{"found": {..}}` with the fields of a case file, or
`{"broken": "traceback"}` when the recorder itself failed.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback

os.environ["TZ"] = "UTC"
time.tzset()

from pyspark.sql import SparkSession  # noqa: E402
from spark_case import Recording  # noqa: E402

CONF = {
    "spark.driver.bindAddress": "127.0.0.1",
    # short programs all: the second compiler of the JVM and a parallel collector cost more than they give
    "spark.driver.extraJavaOptions": "-Duser.timezone=UTC -XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.memory": "2g",
    "spark.sql.ansi.enabled": "true",
    # plans are small and each is run a few times: compiling them costs more than it gives
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.shuffle.partitions": "1",
    "spark.sql.streaming.checkpoint.fileChecksum.enabled": "false",
    "spark.sql.streaming.numRecentProgressUpdates": "1000",
    "spark.ui.enabled": "false",
}


def session() -> SparkSession:
    """A quiet local session."""
    builder = SparkSession.builder.master("local[2]").appName("oracle")
    for key, value in CONF.items():
        builder = builder.config(key, value)
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("OFF")
    return spark


def main() -> int:
    """Answers until the input ends."""
    # what Spark and its workers print must not come between the answers
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    spark = session()
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            answer = {"found": Recording(spark, asked["case"], asked["form"]).run()}
        except Exception:
            answer = {"broken": traceback.format_exc()}
        answers.write(json.dumps(answer, ensure_ascii=False) + "\n")
        answers.flush()
    spark.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
