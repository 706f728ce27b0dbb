"""Reads a journal with one of the test's data sources, by Tidemill or by PySpark: the same program but for its imports.

    read_journal.py tidemill|pyspark SOURCE JOURNAL OUT CHECKPOINT [--follow] [OPTION=VALUE ..]

Writes Parquet files; with --follow, which never ends, a Delta table.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from journal import sources  # noqa: E402


def session(engine):
    """A session, and the module of the data source's classes."""
    if engine == "tidemill":
        import tidemill.datasource as api
        from tidemill import SparkSession

        return SparkSession.builder.getOrCreate(), api
    import pyspark.sql.datasource as api
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
    return builder.config("spark.sql.session.timeZone", "UTC").getOrCreate(), api


def main(engine, source, journal, out, checkpoint, *more):
    """Runs the query."""
    spark, api = session(engine)
    for known in sources(api):
        spark.dataSource.register(known)
    options = dict(given.split("=", 1) for given in more if "=" in given)
    frame = spark.readStream.format(source).option("path", journal).options(**options).load()
    frame = frame.where("id % 7 != 3").selectExpr("id", "upper(name) AS name", "at", "part")
    follow = "--follow" in more
    writer = frame.writeStream.format("delta" if follow else "parquet").option("checkpointLocation", checkpoint)
    writer = writer.trigger(processingTime="5 milliseconds") if follow else writer.trigger(availableNow=True)
    writer.start(out).awaitTermination()


if __name__ == "__main__":
    main(*sys.argv[1:])
