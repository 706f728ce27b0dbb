"""Reads a topic with Spark's own Kafka source and prints its rows as JSON lines. Run by PySpark's Python.

spark_reader.py BROKERS TOPIC JARS
"""

import sys
from pathlib import Path

from pyspark.sql import SparkSession

COLUMNS = (
    "CAST(key AS STRING) AS key",
    "CAST(value AS STRING) AS value",
    "partition",
    "transform(headers, h -> concat(h.key, '=', CAST(h.value AS STRING))) AS headers",
)


def main() -> None:
    """Prints a line a row."""
    brokers, topic, jars = sys.argv[1:]
    session = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false")
    session = session.config("spark.jars", ",".join(str(jar) for jar in Path(jars).glob("*.jar")))
    # one short query: compiling it well takes longer than running it
    session = session.config("spark.driver.extraJavaOptions", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC")
    spark = session.config("spark.sql.codegen.wholeStage", "false").getOrCreate()
    options = {
        "kafka.bootstrap.servers": brokers,
        "subscribe": topic,
        "startingOffsets": "earliest",
        "includeHeaders": "true",
        "kafka.isolation.level": "read_committed",
    }
    for row in spark.read.format("kafka").options(**options).load().selectExpr(*COLUMNS).toJSON().collect():
        print(row, flush=True)
    spark.stop()


main()
