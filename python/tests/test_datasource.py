"""Data sources written in Python: what they may give, what is asked of them, and what is refused."""

import datetime
import json

import pytest
from tidemill import Row
from tidemill.datasource import (
    DataSource,
    DataSourceReader,
    DataSourceStreamReader,
    InputPartition,
    ReadAllAvailable,
    ReadMaxRows,
    SimpleDataSourceStreamReader,
    SupportsTriggerAvailableNow,
)
from tidemill.errors import (
    AnalysisException,
    PySparkNotImplementedError,
    PySparkTypeError,
    StreamingQueryException,
)

DAY = datetime.date(2026, 1, 2)


class Told:
    """What a reader was asked, as it is the same object for the test and the query."""

    def __init__(self):
        self.ends, self.commits, self.limits, self.stops, self.starts = [], [], [], 0, []


def source(stream_reader, columns="id BIGINT, day DATE", **methods):
    """A class of a data source whose streams are read by `stream_reader`."""
    made = {"name": classmethod(lambda cls: "mine"), "schema": lambda self: columns}
    if stream_reader is not None:
        made["streamReader"] = lambda self, schema: stream_reader(self, schema)
    return type("Mine", (DataSource,), {**made, **methods})


class Numbers(DataSourceStreamReader):
    """So many rows, a part of them an epoch."""

    def __init__(self, told=None, count=5, rows=None):
        self.told, self.count = told or Told(), count
        self.rows = rows or (lambda first, last: [(id, DAY) for id in range(first, last)])

    def initialOffset(self):
        return {"at": 0}

    def latestOffset(self, start, limit):
        self.told.limits.append(limit)
        self.told.starts.append(start)
        return {"at": self.count}

    def partitions(self, start, end):
        self.told.ends.append((start["at"], end["at"]))
        return [InputPartition(range(start["at"], end["at"]))] if start != end else []

    def read(self, partition):
        return iter(self.rows(partition.value.start, partition.value.stop))

    def commit(self, end):
        self.told.commits.append(end)

    def stop(self):
        self.told.stops += 1


def collected(spark, made, name="got", **options):
    """All rows of a stream that is read to its end."""
    spark.dataSource.register(made)
    frame = spark.readStream.format("mine").options(**options).load()
    query = frame.writeStream.format("memory").queryName(name).start()
    try:
        query.processAllAvailable()
        return spark.table(name).collect()
    finally:
        query.stop()


@pytest.mark.parametrize(
    "rows",
    [
        lambda first, last: [(id, DAY) for id in range(first, last)],
        lambda first, last: [[id, DAY] for id in range(first, last)],
        lambda first, last: [Row(day=DAY, id=id) for id in range(first, last)],
        lambda first, last: [{"day": DAY, "id": id} for id in range(first, last)],
    ],
)
def test_rows_may_be_tuples_lists_rows_and_dicts(spark, rows):
    got = collected(spark, source(lambda self, schema: Numbers(rows=rows)))
    assert got == [Row(id=id, day=DAY) for id in range(5)]


def test_batches_of_arrow_are_taken_by_the_names_of_their_columns(spark):
    pa = pytest.importorskip("pyarrow")

    def rows(first, last):
        yield pa.RecordBatch.from_pydict(
            {"day": [DAY] * (last - first), "id": pa.array(range(first, last), pa.int32())}
        )

    assert collected(spark, source(lambda self, schema: Numbers(rows=rows)))[4] == Row(id=4, day=DAY)


def test_only_the_columns_that_are_read_are_asked_for_and_options_have_any_case(spark):
    def reader(self, schema):
        assert schema.names == ["id", "day"]
        assert (self.options["ROWS"], "Rows" in self.options, self.options.get("none")) == ("3", True, None)
        assert "3" not in repr(self.options)
        return Numbers(count=int(self.options["rows"]))

    spark.dataSource.register(source(reader))
    frame = spark.readStream.format("MINE").option("Rows", 3).load().groupBy().count()
    query = frame.writeStream.outputMode("complete").format("memory").queryName("counted").start()
    query.processAllAvailable()
    assert spark.table("counted").collect() == [Row(count=3)]
    query.stop()


def test_offsets_are_in_the_checkpoint_and_a_restart_goes_on_from_there(spark, tmp_path):
    told = Told()
    spark.dataSource.register(source(lambda self, schema: Numbers(told, count=int(self.options["count"]))))

    def run(count):
        frame = spark.readStream.format("mine").option("count", count).load()
        writer = frame.writeStream.format("json").option("checkpointLocation", str(tmp_path / "ckpt"))
        query = writer.trigger(availableNow=True).start(str(tmp_path / "out"))
        query.awaitTermination()
        return [json.loads(json.dumps(progress["sources"][0])) for progress in query.recentProgress]

    (progress,) = run(3)
    assert (progress["startOffset"], progress["endOffset"]) == ({"offset": {"at": 0}}, {"offset": {"at": 3}})
    assert "lag" not in progress["metrics"]
    run(3)
    (progress,) = run(8)
    assert progress["startOffset"] == {"offset": {"at": 3}}
    lines = [line for file in (tmp_path / "out").glob("*.json") for line in file.read_text().splitlines()]
    assert sorted(json.loads(line)["id"] for line in lines) == list(range(8))
    assert told.ends == [(0, 3), (3, 8)]
    assert told.commits[-1] == {"at": 8} and told.stops == 3


def test_a_reader_is_told_how_much_it_may_give(spark, tmp_path):
    class Limited(Numbers, SupportsTriggerAvailableNow):
        bound = None

        def prepareForTriggerAvailableNow(self):
            self.bound = 5

        def getDefaultReadLimit(self):
            return ReadMaxRows(2)

        def latestOffset(self, start, limit):
            super().latestOffset(start, limit)
            most = limit.max_rows if isinstance(limit, ReadMaxRows) else 100
            return {"at": min(start["at"] + most, self.bound or 9)}

    told = Told()
    spark.dataSource.register(source(lambda self, schema: Limited(told)))
    writer = spark.readStream.format("mine").load().writeStream.option("checkpointLocation", str(tmp_path / "ckpt"))
    query = writer.format("parquet").trigger(availableNow=True).start(str(tmp_path / "out"))
    query.awaitTermination()
    assert told.ends == [(0, 2), (2, 4), (4, 5)]
    assert ReadMaxRows(2) in told.limits
    query = writer.format("parquet").trigger(once=True).start(str(tmp_path / "out"))
    query.awaitTermination()
    assert told.ends[-1] == (5, 9) and told.limits[-1] == ReadAllAvailable()


def test_a_reader_of_old_knows_no_start_and_no_limit(spark):
    class Old(Numbers):
        def latestOffset(self):
            return {"at": 4}

    assert len(collected(spark, source(lambda self, schema: Old()))) == 4


def test_a_simple_reader_reads_and_tells_how_far_at_once(spark):
    reads = []

    class Simple(SimpleDataSourceStreamReader):
        def initialOffset(self):
            return {"n": 0}

        def read(self, start):
            reads.append(start["n"])
            return iter([(start["n"], DAY)] if start["n"] < 3 else []), {"n": min(start["n"] + 1, 3)}

        def readBetweenOffsets(self, start, end):
            raise AssertionError("nothing was run again")

    made = source(None, simpleStreamReader=lambda self, schema: Simple(), streamReader=DataSource.streamReader)
    assert [row.id for row in collected(spark, made)] == [0, 1, 2]
    assert reads[:4] == [0, 1, 2, 3], "each read once"

    class Standing(Simple):
        def read(self, start):
            return iter([(1, DAY)]), start

    with pytest.raises(StreamingQueryException, match="the same offset again"):
        collected(
            spark,
            source(None, simpleStreamReader=lambda self, schema: Standing(), streamReader=DataSource.streamReader),
        )


def test_rows_that_do_not_fit_end_the_query_with_what_is_wrong(spark):
    def failing(rows, columns="id BIGINT, day DATE"):
        with pytest.raises(StreamingQueryException) as raised:
            collected(spark, source(lambda self, schema: Numbers(rows=rows), columns))
        assert "the data source mine failed" in str(raised.value)
        return str(raised.value)

    assert "a row has 1 values for 2 columns" in failing(lambda first, last: [(1,)])
    assert "does not fit DATE" in failing(lambda first, last: [(1, "soon")])
    assert "a value of 'id' is None" in failing(lambda first, last: [(None, DAY)], "id BIGINT NOT NULL, day DATE")

    def raising(first, last):
        raise RuntimeError("no answer")

    told = failing(raising)
    assert "RuntimeError: no answer" in told and "test_datasource.py" in told and "in raising" in told


def test_offsets_are_dicts_of_json(spark):
    class Wrong(Numbers):
        def initialOffset(self):
            return 7

    with pytest.raises(StreamingQueryException, match="an offset is a dict"):
        collected(spark, source(lambda self, schema: Wrong()))

    class Unwritable(Numbers):
        def latestOffset(self, start, limit):
            return {"at": object()}

    with pytest.raises(StreamingQueryException, match="not JSON"):
        collected(spark, source(lambda self, schema: Unwritable()))


def test_a_source_without_streams_says_so_and_may_be_read_once(spark):
    class Whole(DataSourceReader):
        def partitions(self):
            return [InputPartition(0), InputPartition(2)]

        def read(self, partition):
            yield from [(partition.value, DAY), (partition.value + 1, DAY)]

    made = source(None, reader=lambda self, schema: Whole())
    spark.dataSource.register(made)
    assert [row.id for row in spark.read.format("mine").load().collect()] == [0, 1, 2, 3]
    with pytest.raises(Exception, match="simpleStreamReader is not implemented"):
        collected(spark, made)
    with pytest.raises(PySparkNotImplementedError):
        spark.dataSource.register(type("mine", (DataSource,), {}))
        spark.readStream.format("mine").load()


def test_what_is_no_source_and_names_of_the_engine_are_refused(spark):
    with pytest.raises(PySparkTypeError, match="derived from DataSource"):
        spark.dataSource.register(int)
    with pytest.raises(AnalysisException, match="`Kafka` is a source or format of the engine"):
        spark.dataSource.register(type("Kafka", (DataSource,), {}))
