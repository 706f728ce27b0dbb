"""The sink `kafka` as readers and writers see it that nobody here wrote: Kafka's console tools, and Spark's source.

Between the epochs lie records of transactions that were aborted: a reader of committed records sees none of them.
"""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "services"))

import maven
from harness import stop
from kafka_tools import Tools
from kinds.kafka import Node
from kinds.kafka import broker as started
from pipeline import Pipeline

PARTITIONS = 3
COLUMNS = "id BIGINT, user STRING"
SPARK_POM = Path(__file__).with_name("spark.pom.xml")
HEADERS = "array(named_struct('key', 'user', 'value', CAST(user AS BINARY)), named_struct('key', 'n', 'value', NULL))"
AS_SPARK = f"""SELECT user AS key, concat('v', CAST(id AS STRING)) AS value, {HEADERS} AS headers,
       CAST(CASE WHEN id % 2 = 0 THEN id % {PARTITIONS} END AS INT) AS partition FROM events"""


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    """A broker for all of them."""
    one = started(tmp_path_factory.mktemp("kafka"))
    yield one
    stop(one.process)


@pytest.fixture
def tools(broker, tmp_path):
    """Kafka's own tools."""
    return Tools(broker.address, tmp_path)


def topic(broker: Node, name: str) -> str:
    """Makes a topic."""
    admin = AdminClient({"bootstrap.servers": broker.address})
    admin.create_topics([NewTopic(name, PARTITIONS, 1)])[name].result(30)
    return name


def torn(broker: Node, name: str) -> None:
    """Somebody's transaction that is aborted; its records stay in the topic's log."""
    writer = Producer({"bootstrap.servers": broker.address, "transactional.id": f"torn-{name}"})
    writer.init_transactions(30)
    writer.begin_transaction()
    for partition in range(PARTITIONS):
        writer.produce(name, "torn", partition=partition)
    writer.flush(30)
    writer.abort_transaction(30)


def events(number: int) -> list[dict]:
    """The rows of one file."""
    return [{"id": at, "user": f"u{at % 7}"} for at in range(number * 10, number * 10 + 10)]


def written(broker: Node, folder: Path, name: str) -> list[dict]:
    """A topic with four epochs and aborted records between them; its rows."""
    table = {"connector": "kafka", "bootstrap_servers": broker.address, "topic": topic(broker, name)}
    pipeline = Pipeline(folder / name, COLUMNS, AS_SPARK, **table, compression="lz4")
    for number in range(0, 4, 2):
        pipeline.feed(*events(number))
        pipeline.feed(*events(number + 1))
        pipeline.run()
        torn(broker, name)
    return [row for number in range(4) for row in events(number)]


def test_kafkas_console_consumer(broker, tools, tmp_path) -> None:
    rows = written(broker, tmp_path, "console")
    shown = [f"print.{what}=true" for what in ("partition", "headers", "key", "value")]
    seen = Counter()
    for line in tools.consume("console", *shown):
        partition, headers, key, value = line.split("\t")
        number = int(value.removeprefix("v"))
        if number % 2 == 0:
            assert partition == f"Partition:{number % PARTITIONS}", "the row's partition goes before the key's"
        assert headers == f"user:{key},n:null"
        seen[key, value] += 1
    assert seen == Counter((row["user"], f"v{row['id']}") for row in rows)
    everything = Counter(tools.consume("console", isolation="read_uncommitted"))
    assert everything["torn"] == 2 * PARTITIONS, "there was nothing for the reader to leave out"


def test_sparks_own_kafka_source(broker, tmp_path) -> None:
    rows = written(broker, tmp_path, "spark")
    python = Path(os.environ["TIDEMILL_BENCH_VENV"]) / "bin" / "python"
    jars = maven.jars(SPARK_POM, "spark-kafka", tmp_path)
    command = [str(python), str(Path(__file__).with_name("spark_reader.py"))]
    command += [broker.address, "spark", str(jars)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=180)
    assert done.returncode == 0, done.stderr[-4000:]
    seen = Counter()
    for row in map(json.loads, done.stdout.splitlines()):
        number = int(row["value"].removeprefix("v"))
        assert number % 2 or row["partition"] == number % PARTITIONS
        assert row["headers"][0] == f"user={row['key']}" and len(row["headers"]) == 2
        seen[row["key"], row["value"]] += 1
    assert seen == Counter((row["user"], f"v{row['id']}") for row in rows)


def test_keys_land_where_javas_producer_puts_them(broker, tools, tmp_path) -> None:
    keys = [f"key-{at}" for at in range(50)] + ["", "ä", "日本", "a" * 300]
    ours, javas = topic(broker, "keys-ours"), topic(broker, "keys-java")
    table = {"connector": "kafka", "bootstrap_servers": broker.address, "topic": ours, "key": "user"}
    pipeline = Pipeline(tmp_path / "keys", COLUMNS, "SELECT * FROM events", **table, format="json")
    pipeline.feed(*({"id": at, "user": key} for at, key in enumerate(keys)))
    pipeline.run()
    tools.produce(javas, [f"{key}:x" for key in keys])
    places = []
    for name in (ours, javas):
        lines = tools.consume(name, "print.partition=true", "print.key=true", "print.value=false", records=len(keys))
        places.append({key: partition for partition, key in (line.split("\t") for line in lines)})
    assert places[0] == places[1]
    assert set(places[0].values()) == {f"Partition:{partition}" for partition in range(PARTITIONS)}


def test_headers_go_through_a_pipeline(broker, tools, tmp_path) -> None:
    """Our own source reads what another producer's headers say, and the sink writes them on."""
    source, target = topic(broker, "headers-in"), topic(broker, "headers-out")
    writer = Producer({"bootstrap.servers": broker.address})
    writer.produce(source, "with", headers=[("trace", b"t1"), ("trace", b"t2")], key="k")
    writer.produce(source, "without", key="k")
    writer.flush(30)
    sql = tmp_path / "headers.sql"
    sql.write_text(f"""
CREATE TABLE incoming WITH (connector = 'kafka', bootstrap_servers = '{broker.address}', topic = '{source}',
                            startingOffsets = 'earliest', includeHeaders = 'true');
CREATE TABLE outgoing WITH (connector = 'kafka', bootstrap_servers = '{broker.address}', topic = '{target}');
INSERT INTO outgoing SELECT key, value, headers FROM incoming;
""")
    pipeline = Pipeline(tmp_path / "unused", COLUMNS, "SELECT 1")
    pipeline.sql, pipeline.folder = sql, tmp_path
    pipeline.run()
    lines = tools.consume(target, "print.headers=true", "print.value=true", records=2)
    assert sorted(lines) == ["NO_HEADERS\twithout", "trace:t1,trace:t2\twith"]
