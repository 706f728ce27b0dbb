"""Readers, writers, queries and their manager."""

from __future__ import annotations

import json
import threading
import time
import urllib.request

import deltalake
import pytest
from tidemill import functions as F
from tidemill.errors import AnalysisException, IllegalArgumentException, StreamingQueryException, TidemillException
from tidemill.query import StreamingQueryListener
from tidemill.session import Session
from tidemill.types import Row

EVENTS = "id BIGINT, kind STRING"


def write_lines(path, name: str, rows: list[dict]) -> None:
    """A file that is there whole, as a source of files asks for."""
    path.mkdir(exist_ok=True)
    staged = path.parent / name
    staged.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    staged.rename(path / name)


@pytest.fixture
def lines(tmp_path):
    """A directory with four events in two files."""
    write_lines(tmp_path / "in", "1.json", [{"id": 1, "kind": "a"}, {"id": 2, "kind": "b"}])
    write_lines(tmp_path / "in", "2.json", [{"id": 3, "kind": "a"}, {"id": 4, "kind": "a"}])
    return tmp_path / "in"


def test_the_memory_sink_is_a_table(spark, lines):
    counts = spark.readStream.schema(EVENTS).json(str(lines)).groupBy("kind").count()
    query = counts.writeStream.format("memory").queryName("counts").outputMode("complete").start()
    query.processAllAvailable()
    assert spark.table("counts").orderBy("kind").collect() == [Row(kind="a", count=3), Row(kind="b", count=1)]
    write_lines(lines, "3.json", [{"id": 5, "kind": "b"}])
    query.processAllAvailable()
    assert spark.sql("SELECT count FROM counts WHERE kind = 'b'").first()["count"] == 2
    with pytest.raises(AnalysisException, match="is running"):
        counts.writeStream.format("memory").queryName("counts").outputMode("complete").start()
    query.stop()
    again = counts.writeStream.format("memory").queryName("counts").outputMode("complete").start()
    again.processAllAvailable()
    assert spark.table("counts").count() == 2


def test_the_console_prints_where_python_prints(spark, lines, capsys):
    frame = spark.readStream.schema(EVENTS).json(str(lines))
    assert frame.writeStream.format("console").trigger(once=True).start().awaitTermination(30)
    out = capsys.readouterr().out
    assert "Batch: 0" in out and "|  4|   a|" in out


def test_files_and_delta_as_sinks(spark, lines, tmp_path):
    frame = spark.readStream.schema(EVENTS).option("maxFilesPerTrigger", 1).json(str(lines))
    for sink in ("parquet", "json"):
        query = frame.writeStream.format(sink).option("checkpointLocation", tmp_path / "ck" / sink)
        assert query.trigger(availableNow=True).start(tmp_path / sink).awaitTermination(30)
        assert getattr(spark.read.schema(EVENTS), sink)(str(tmp_path / sink)).count() == 4
    delta = (
        frame.writeStream.format("delta").partitionBy("kind").option("checkpointLocation", tmp_path / "ck" / "delta")
    )
    query = delta.trigger(availableNow=True).start(tmp_path / "delta")
    assert query.awaitTermination(30)
    assert [progress.batchId for progress in query.recentProgress] == [0, 1]
    table = deltalake.DeltaTable(str(tmp_path / "delta"))
    assert table.to_pyarrow_table().num_rows == 4 and table.metadata().partition_columns == ["kind"]
    assert spark.read.format("delta").load(tmp_path / "delta").filter("id > 1").count() == 3
    assert spark.read.option("versionAsOf", 1).delta(tmp_path / "delta").count() == 2


def test_a_stream_is_enriched_by_a_table(spark, lines, tmp_path):
    write_lines(tmp_path / "kinds", "kinds.json", [{"kind": "a", "name": "first"}])
    kinds = spark.read.schema("kind STRING, name STRING").json(str(tmp_path / "kinds"))
    held = spark.createDataFrame([("b", "second")], "kind STRING, name STRING")
    stream = spark.readStream.schema(EVENTS).json(str(lines))
    named = stream.join(kinds.unionByName(held), "kind").select("id", "name")
    assert named.isStreaming and named.columns == ["id", "name"]
    query = named.writeStream.format("memory").queryName("named").trigger(availableNow=True).start()
    assert query.awaitTermination(30)
    assert sorted(spark.table("named").collect()) == [(1, "first"), (2, "second"), (3, "first"), (4, "first")]


def test_sql_over_streams_and_views(spark, lines):
    spark.readStream.schema(EVENTS).json(str(lines)).createOrReplaceTempView("events")
    frame = spark.sql("SELECT kind, count(*) AS n FROM events WHERE id > {least} GROUP BY kind", least=1)
    assert frame.isStreaming
    query = frame.writeStream.format("memory").queryName("n").outputMode("complete").trigger(availableNow=True).start()
    assert query.awaitTermination(30)
    assert sorted(spark.table("n").collect()) == [("a", 2), ("b", 1)]
    assert spark.sql("SET spark.sql.session.timeZone = Europe/Vienna").first().key == "spark.sql.session.timeZone"
    assert spark.conf.get("spark.sql.session.timeZone") == "Europe/Vienna"
    with pytest.raises(AnalysisException, match="did you mean 'parallelism'"):
        spark.sql("SET paralelism = 4")
    assert spark.conf.get("paralelism") is None
    with pytest.raises(AnalysisException, match="no CREATE statement"):
        spark.sql("CREATE TABLE t (a INT)")
    with pytest.raises(AnalysisException, match="1 . SELECT kin FROM events"):
        spark.sql("SELECT kin FROM events").schema  # noqa: B018
    with pytest.raises(AnalysisException) as raised:
        spark.table("nothing")
    assert raised.value.getCondition() == "TABLE_OR_VIEW_NOT_FOUND"


def test_progress_has_spark_s_names(spark, lines):
    query = spark.readStream.schema(EVENTS).json(str(lines)).groupBy("kind").count().writeStream
    query = query.outputMode("update").queryName("p").foreachBatch(lambda batch, batch_id: None).start()
    query.processAllAvailable()
    progress = query.lastProgress
    assert (progress.numInputRows, progress["name"], progress.batchId) == (4, "p", 0)
    assert progress.stateOperators[0].numRowsTotal == 2
    assert progress.id == query.id and progress.runId == query.runId
    assert json.loads(progress.json) == progress
    assert query.status["message"] == "Waiting for data to arrive"
    assert spark.streams.active == [query] and spark.streams.get(query.id) is query
    assert not query.awaitTermination(0.01)
    query.stop()
    assert not query.isActive and query.exception() is None and query.status["message"] == "Stopped"
    assert spark.streams.awaitAnyTermination(1)


def test_a_checkpoint_goes_on_and_belongs_to_one_query(spark, lines, tmp_path):
    checkpoint = tmp_path / "checkpoint"
    seen = []

    def start(session: Session, frame):
        write = frame.writeStream.option("checkpointLocation", str(checkpoint)).trigger(availableNow=True)
        return write.foreachBatch(lambda batch, batch_id: seen.append((batch_id, batch.count()))).start()

    def read(session: Session):
        return session.readStream.schema(EVENTS).json(str(lines))

    first = start(spark, read(spark))
    assert first.awaitTermination(30)
    write_lines(lines, "3.json", [{"id": 5, "kind": "b"}])
    # reading before does not change the names the checkpoint knows
    read(spark), read(spark)
    second = start(spark, read(spark))
    assert second.awaitTermination(30)
    assert seen == [(0, 4), (1, 1)]
    assert (second.id, second.runId) != (first.id, first.runId) and second.id == first.id
    other = spark.readStream.schema(EVENTS).json(str(tmp_path / "elsewhere"))
    with pytest.raises(AnalysisException, match="does not fit this pipeline"):
        start(spark, other)


def test_a_new_checkpoint_is_refused_by_a_sink_that_holds_rows_unless_told(spark, lines, tmp_path):
    def start(checkpoint, **options):
        write = spark.readStream.schema(EVENTS).json(str(lines)).writeStream.format("delta").queryName("copy")
        write = write.option("checkpointLocation", tmp_path / checkpoint).trigger(availableNow=True)
        return write.start(tmp_path / "copy", **options)

    assert start("first").awaitTermination(30)
    with pytest.raises(TidemillException, match="another"):
        start("second")
    assert start("second", newIncarnation="append").awaitTermination(30)
    assert deltalake.DeltaTable(str(tmp_path / "copy")).to_pyarrow_table().num_rows == 8


def test_two_queries_cannot_share_a_checkpoint(spark, lines, tmp_path):
    write = spark.readStream.schema(EVENTS).json(str(lines)).writeStream.option("checkpointLocation", tmp_path / "ck")
    write.foreachBatch(lambda batch, batch_id: None).start()
    with pytest.raises(TidemillException, match="checkpoint"):
        write.start()


def test_a_query_can_be_stopped_from_its_own_function(spark, lines):
    stopped = threading.Event()

    def stop(batch, batch_id):
        spark.streams.active[0].stop()
        stopped.set()

    query = spark.readStream.schema(EVENTS).json(str(lines)).writeStream.foreachBatch(stop).start()
    assert stopped.wait(30) and query.awaitTermination(30)


def test_an_expression_that_fails_ends_the_query(spark, lines):
    frame = spark.readStream.schema(EVENTS).json(str(lines)).select((F.lit(1) / (F.col("id") - 3)).alias("q"))
    query = frame.writeStream.foreachBatch(lambda batch, batch_id: None).start()
    with pytest.raises(StreamingQueryException) as raised:
        query.processAllAvailable()
    assert raised.value.getCondition() == "DIVIDE_BY_ZERO"
    with pytest.raises(StreamingQueryException):
        query.awaitTermination()
    with pytest.raises(StreamingQueryException):
        spark.streams.awaitAnyTermination(10)
    spark.streams.resetTerminated()
    assert spark.streams.awaitAnyTermination(0.01) is False


def test_bad_records_are_kept_in_the_checkpoint(spark, tmp_path):
    path = tmp_path / "in"
    path.mkdir()
    (path / "1.json").write_text('{"id": 1}\nnot json\n', encoding="utf-8")
    query = spark.readStream.schema(EVENTS).json(str(path)).writeStream.option("checkpointLocation", tmp_path / "ck")
    query = query.foreachBatch(lambda batch, batch_id: None).trigger(availableNow=True).start()
    assert query.awaitTermination(30) and query.lastProgress.deadLetters == 1
    letters = spark.read.parquet(str(tmp_path / "ck" / "dead_letters"), "reason STRING, value BINARY").collect()
    assert bytes(letters[0].value) == b"not json"


def test_listeners_hear_of_queries(spark, lines):
    heard = []

    class Listener(StreamingQueryListener):
        def onQueryStarted(self, event):
            heard.append(("started", event.name))

        def onQueryProgress(self, event):
            heard.append(("progress", event.progress.batchId))

        def onQueryTerminated(self, event):
            heard.append(("terminated", event.exception))

    spark.streams.addListener(Listener())
    query = spark.readStream.schema(EVENTS).json(str(lines)).writeStream.queryName("heard")
    query = query.foreachBatch(lambda batch, batch_id: None).trigger(availableNow=True).start()
    query.awaitTermination(30)
    until = time.monotonic() + 10
    while ("terminated", None) not in heard and time.monotonic() < until:
        time.sleep(0.01)
    assert heard == [("started", "heard"), ("progress", 0), ("terminated", None)]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda write: write.trigger(continuous="1 second"), "continuous"),
        (lambda write: write.trigger(), "one of processingTime"),
        (lambda write: write.foreach(print), "foreachBatch"),
        (lambda write: write.toTable("t"), "catalog"),
        (lambda write: write.format("delta").start("out"), "needs a checkpoint"),
        (lambda write: write.start(), "say where the rows go"),
        (lambda write: write.format("memory").start(), "queryName"),
        (
            lambda write: write.format("console").option("checkpointLocation", "hdfs://name/ck").start(),
            "is no place for one",
        ),
        (lambda write: write.format("nosuch").option("checkpointLocation", "ck").start(), "no sink called 'nosuch'"),
        (lambda write: write.format("console").outputMode("complete").start(), "output mode complete"),
        (lambda write: write.format("console").outputMode("sometimes").start(), "no output mode 'sometimes'"),
        (lambda write: write.format("console").option("numRowz", 1).start(), "did you mean 'num_rows'"),
    ],
)
def test_what_does_not_fit_is_refused_in_words(spark, lines, change, words):
    write = spark.readStream.schema(EVENTS).json(str(lines)).writeStream
    with pytest.raises((AnalysisException, IllegalArgumentException), match=words):
        change(write)


def test_the_columns_of_files_are_given(spark, lines):
    with pytest.raises(AnalysisException, match="must be given"):
        spark.readStream.json(str(lines))


def test_explain_shows_the_steps(spark, lines, capsys):
    spark.readStream.schema(EVENTS).json(str(lines)).filter("id > 1").groupBy("kind").count().explain()
    steps = capsys.readouterr().out.splitlines()
    assert steps[0] == "#1 source in (files): id, kind"
    assert all(step.startswith("#") for step in steps if step)


@pytest.mark.parametrize("source", ["rate", "socket"])
def test_sources_that_are_not_there(spark, source):
    with pytest.raises(AnalysisException, match=r"not there|cannot be read"):
        spark.readStream.format(source).load()


def test_a_session_serves_its_page_and_metrics(spark, lines):
    page = spark.listen("127.0.0.1:0")
    query = spark.readStream.schema(EVENTS).json(str(lines)).writeStream.queryName("seen")
    query = query.foreachBatch(lambda batch, batch_id: None).start()
    query.processAllAvailable()
    with urllib.request.urlopen(f"{page}/queries/seen/progress") as answer:
        assert json.load(answer)[0]["numInputRows"] == 4
    with urllib.request.urlopen(f"{page}/metrics") as answer:
        text = answer.read().decode()
    assert 'query="seen"' in text and 'query="seen"' in spark.metrics()
    query.stop()
    assert "foreach_batch" in spark.summary()


def test_the_builder_gives_the_active_session():
    session = Session.builder.appName("a").config("spark.sql.shuffle.partitions", 2).getOrCreate()
    try:
        assert Session.builder.config(map={"parallelism": 1}).getOrCreate() is session
        assert Session.getActiveSession() is session and session.conf.get("parallelism") == "1"
        assert session.range(3).agg(F.sum("id").alias("s")).first().s == 3
    finally:
        session.stop()
    assert Session.getActiveSession() is None


def test_a_program_that_ends_with_a_running_query_ends_quietly(tmp_path, lines):
    import subprocess
    import sys

    code = f"""
from tidemill import Session
spark = Session.builder.getOrCreate()
frame = spark.readStream.schema({EVENTS!r}).json({str(lines)!r})
query = frame.writeStream.foreachBatch(lambda batch, batch_id: print(batch.count())).start()
query.processAllAvailable()
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "4\n", "")


def test_a_delta_table_beside_a_stream_is_read_again_when_it_changes(spark, lines, tmp_path):
    place = str(tmp_path / "kinds")
    spark.createDataFrame([("a", "first")], "kind STRING, word STRING").write.format("delta").save(place)
    kinds = spark.read.format("delta").load(place)
    joined = spark.readStream.schema(EVENTS).json(str(lines)).join(kinds, "kind", "left").select("id", "word")
    query = joined.writeStream.format("memory").queryName("words").start()
    query.processAllAvailable()
    spark.createDataFrame([("b", "second")], "kind STRING, word STRING").write.format("delta").mode("append").save(
        place
    )
    write_lines(lines, "3.json", [{"id": 5, "kind": "b"}, {"id": 6, "kind": "a"}])
    query.processAllAvailable()
    rows = spark.table("words").orderBy("id").collect()
    assert [row["word"] for row in rows] == ["first", None, "first", "first", "second", "first"]


def test_a_version_of_a_delta_table_stays_as_it_is(spark, lines, tmp_path):
    place = str(tmp_path / "kinds")
    for word, mode in [("old", "append"), ("new", "overwrite")]:
        frame = spark.createDataFrame([("a", word)], "kind STRING, word STRING")
        frame.write.format("delta").mode(mode).save(place)
    kinds = spark.read.format("delta").option("versionAsOf", 1).load(place)
    joined = spark.readStream.schema(EVENTS).json(str(lines)).join(kinds, "kind").select("id", "word")
    query = joined.writeStream.format("memory").queryName("words").start()
    query.processAllAvailable()
    assert {row["word"] for row in spark.table("words").collect()} == {"old"}


def test_a_delta_table_is_read_as_a_stream(spark, tmp_path):
    place = str(tmp_path / "kinds")
    spark.createDataFrame([("a", 1)], "kind STRING, n INT").write.format("delta").save(place)
    stream = spark.readStream.format("delta").option("maxFilesPerTrigger", 1).load(place)
    assert [(field.name, field.dataType.simpleString()) for field in stream.schema] == [
        ("kind", "string"),
        ("n", "int"),
    ]
    query = stream.selectExpr("kind", "n + 1 AS n").writeStream.format("memory").queryName("kinds").start()
    query.processAllAvailable()
    spark.createDataFrame([("b", 2)], "kind STRING, n INT").write.format("delta").mode("append").save(place)
    query.processAllAvailable()
    assert sorted(spark.table("kinds").collect()) == [("a", 2), ("b", 3)]
    offsets = json.loads(json.dumps(query.lastProgress["sources"][0]["endOffset"]))
    assert sorted(name.rsplit("/")[-1] for name in offsets) == ["file", "log", "version"]
    query.stop()
