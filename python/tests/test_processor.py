"""StreamProcessor, StreamMonitor and the schema registry."""

from __future__ import annotations

import pytest
from tidemill.errors import AnalysisException, IllegalArgumentException
from tidemill.stream_monitor import METRICS, StreamMonitor, lag_records, lag_seconds
from tidemill.stream_processor import StreamProcessor, kafka_options_of_event_hubs
from tidemill.stream_schemas import SchemaRegistry, get_schema, register_schema
from tidemill.types import StructType

CONNECTION = (
    "Endpoint=sb://acme.servicebus.windows.net/;SharedAccessKeyName=reader;SharedAccessKey=c2VjcmV0PQ==;EntityPath=e"
)


def test_event_hubs_are_reached_as_kafka():
    options = kafka_options_of_event_hubs(CONNECTION)
    assert options == {
        "kafka.bootstrap.servers": "acme.servicebus.windows.net:9093",
        "kafka.security.protocol": "SASL_SSL",
        "kafka.sasl.mechanism": "PLAIN",
        "kafka.sasl.username": "$ConnectionString",
        "kafka.sasl.password": CONNECTION,
    }
    processor = StreamProcessor("azure_event_hub", CONNECTION, consumer_group="g")
    frame = processor.read_stream("user-events", "a INT")
    assert frame.columns == ["a"] and frame.isStreaming
    assert "c2VjcmV0" not in repr(processor)


def test_what_is_no_connection_string_is_not_repeated():
    with pytest.raises(IllegalArgumentException) as raised:
        StreamProcessor("event_hub", "SharedAccessKey=s3ntinel")
    assert "s3ntinel" not in str(raised.value)


def test_kafka_without_a_schema_has_spark_s_columns():
    frame = StreamProcessor("kafka", "broker:9092", "g").read_stream("events")
    assert frame.columns == ["key", "value", "topic", "partition", "offset", "timestamp", "timestampType"]


@pytest.mark.parametrize(("source", "words"), [("kinesis", "not there yet"), ("rabbit", "no source `rabbit`")])
def test_other_sources_are_refused(source, words):
    with pytest.raises(AnalysisException, match=words):
        StreamProcessor(source)


def test_the_generator_and_files(tmp_path):
    events = StreamProcessor("generator", options={"number_of_rows": 10, "rows_per_second": 0}).read_stream(
        "user-events"
    )
    query = events.writeStream.format("json").option("checkpointLocation", tmp_path / "ck").trigger(availableNow=True)
    assert query.start(tmp_path / "in" / "user-events").awaitTermination(30)
    files = StreamProcessor("files", tmp_path / "in", checkpoint_location=tmp_path / "checkpoints")
    read = files.read_stream("user-events", "event_id STRING, user_id STRING")
    assert files.get_consumer_lag() is None and files.get_throughput() is None
    query = read.writeStream.queryName("copy").foreachBatch(lambda batch, _: None).start()
    query.processAllAvailable()
    assert (tmp_path / "checkpoints" / "copy").is_dir()
    assert files.get_throughput() > 0 and files.get_storage_usage() > 0
    files.stop()
    assert files.queries == []


def test_a_checkpoint_in_an_object_store_that_cannot_be_opened_is_refused_clearly(tmp_path):
    # no account and no key are given, and none is taken from elsewhere
    processor = StreamProcessor("generator", checkpoint_location="az://checkpoints/a")
    with pytest.raises(AnalysisException, match="az://checkpoints/a.*cannot be opened"):
        processor.read_stream("e").writeStream.foreachBatch(lambda batch, _: None).start()
    processor = StreamProcessor("generator", checkpoint_location="hdfs://host/a")
    with pytest.raises(AnalysisException, match="hdfs:// is no place"):
        processor.read_stream("e").writeStream.foreachBatch(lambda batch, _: None).start()


def test_a_monitor_says_what_is_known(tmp_path, produce):
    produce(100)
    processor = StreamProcessor("log", tmp_path / "log")
    stream = processor.read_stream("user-events", "user_id STRING, timestamp TIMESTAMP")
    counts = stream.withWatermark("timestamp", "1 minute").groupBy("user_id").count()
    query = counts.writeStream.outputMode("update").foreachBatch(lambda batch, _: None).queryName("counts").start()
    monitor = StreamMonitor(query)
    query.processAllAvailable()
    values = monitor.track_metrics()
    assert set(values) == set(METRICS)
    assert values["state"]["rows"] > 0 and values["dead_letters"] == 0
    assert values["watermark"] == "2025-12-31T23:59:00.000Z"
    assert monitor.track_metrics(["lag"]) == {"lag": {"records": 0, "seconds": 0.0}}
    assert monitor.report().splitlines()[0] == "query counts: running, epoch 1"
    with pytest.raises(IllegalArgumentException, match="no metric `speed`"):
        monitor.track_metrics(["speed"])
    processor.stop()
    assert processor.get_consumer_lag() is None


def test_lag_is_unknown_until_it_is_known():
    assert lag_records(None) is None and lag_seconds(None) is None
    report = {"sources": [{"metrics": {"bytes": 1}}], "processedRowsPerSecond": 5.0}
    assert lag_records(report) is None
    report["sources"].append({"metrics": {"lag": 10}})
    assert (lag_records(report), lag_seconds(report)) == (10, 2.0)


def test_schemas_have_versions_that_must_fit(tmp_path):
    registry = SchemaRegistry(tmp_path)
    first = registry.register("user-events", "user_id STRING NOT NULL, duration DOUBLE")
    assert (first.version, registry.list()) == (1, ["user-events"])
    assert registry.register("user-events", first.columns) == first
    assert first.columns.names == ["user_id", "duration"]
    wider = "user_id STRING NOT NULL, duration DOUBLE, country STRING"
    assert registry.is_compatible("user-events", wider)
    narrower = "user_id STRING NOT NULL, duration BOOLEAN"
    assert "duration" in registry.check("user-events", narrower)[0]
    with pytest.raises(AnalysisException, match="duration"):
        registry.register("user-events", narrower)
    second = registry.register("user-events", wider)
    assert registry.get("user-events") == second and registry.get("user-events", 1) == first
    assert registry.versions("user-events") == [1, 2] and registry.get_by_id(second.id) == second
    assert registry.get("nothing") is None
    registry.set_compatibility("user-events", "none")
    assert registry.compatibility("user-events") == "NONE"
    assert registry.register("user-events", narrower).version == 3
    with pytest.raises(AnalysisException, match="no level of compatibility"):
        registry.set_compatibility("user-events", "sometimes")


def test_a_stream_is_read_with_a_registered_schema(tmp_path):
    schema = register_schema(tmp_path / "registry", "user-events", "user_id STRING NOT NULL, n BIGINT")
    processor = StreamProcessor("log", tmp_path / "log")
    frame = processor.read_stream("user-events", get_schema(tmp_path / "registry", "user-events"))
    assert frame.columns == schema.columns.names and isinstance(schema.columns, StructType)
