"""The connector `eventhubs` against a real Kafka broker with SASL PLAIN, which stands in for the Kafka endpoint of Azure
Event Hubs: no namespace of Azure can be had here. What only Event Hubs does (throttling, idle connections it closes,
its tiers) is not shown by this.
"""

import json
import time
from datetime import datetime

import pytest
from confluent_kafka.admin import AclOperation, ResourceType
from kafka_secured import CLIENT_SECRET, SHARED_KEY
from reading import Reading
from token_server import METADATA

# not long ago: retention takes what is old
START = int(time.time()) * 1000 - 600_000
COLUMNS = (
    "CAST(body AS STRING) AS value, partition, offset, sequenceNumber, enqueuedTime, partitionKey, "
    "properties['trace'] AS trace"
)


def reading(folder, options: dict, select: str = COLUMNS) -> Reading:
    """A query that reads an event hub from its beginning."""
    return Reading(folder, {"startingOffsets": "earliest"} | options, select, connector="eventhubs")


@pytest.fixture
def hub(broker, topic):
    """Makes an event hub that who has the connection string may use, and gives the options of a table for it."""

    def make(partitions: int = 2, more: str = "") -> dict[str, str]:
        name = topic(partitions, more)
        everything = (AclOperation.READ, AclOperation.WRITE, AclOperation.DESCRIBE)
        broker.allow("$ConnectionString", ResourceType.TOPIC, name, *everything)
        return {"connection_string": broker.connection_string, "event_hub": name}

    return make


def test_events_have_their_number_and_time(hub, producer, tmp_path) -> None:
    options = hub()
    for at in range(3):
        more = {"key": f"k{at}", "headers": [("trace", b"t%d" % at)]} if at else {}
        producer.send(options["event_hub"], 1, [f"v{at}"], timestamp=START + at, **more)
    query = reading(tmp_path / "columns", options)
    told = query.run()
    rows = query.rows()
    assert [row["value"] for row in rows] == ["v0", "v1", "v2"]
    assert [(row["partition"], row["offset"], row["sequenceNumber"]) for row in rows] == [
        ("1", str(at), at) for at in range(3)
    ]
    times = [round(datetime.fromisoformat(row["enqueuedTime"]).timestamp() * 1000) for row in rows]
    assert times == [START + at for at in range(3)]
    assert [(row.get("partitionKey"), row.get("trace")) for row in rows] == [(None, None), ("k1", "t1"), ("k2", "t2")]
    kept = "".join(file.read_text(errors="replace") for file in (query.folder / "ckpt").rglob("*") if file.is_file())
    assert SHARED_KEY not in told + kept


def test_a_format_reads_the_body(hub, producer, tmp_path) -> None:
    options = hub()
    producer.send(options["event_hub"], 0, [json.dumps({"id": at}) for at in range(4)])
    query = reading(tmp_path / "json", {**options, "format": "json", "columns": " (id BIGINT)"}, "id")
    query.run()
    assert [row["id"] for row in query.rows()] == [0, 1, 2, 3]


def test_entra_id_gives_tokens(broker, topic, producer, tmp_path) -> None:
    """A token server and a metadata service that stand in for Azure's; the broker checks the tokens."""
    name = topic()
    producer.send(name, 0, ["one"])
    namespace = {"namespace": broker.sasl, "event_hub": name, "kafka.ssl.ca.location": str(broker.authority)}
    application = {"client_id": "app", "client_secret": CLIENT_SECRET, "token_endpoint": f"{broker.tokens.url}/token"}
    identity = {
        "managed_identity": "true",
        "client_id": "worker",
        "token_endpoint": f"{broker.tokens.url}{METADATA}",
    }
    for user, given in (("app", application), ("worker", identity)):
        broker.allow(user, ResourceType.TOPIC, name, AclOperation.READ, AclOperation.DESCRIBE)
        query = reading(tmp_path / user, namespace | given)
        assert CLIENT_SECRET not in query.run()
        assert query.values() == ["one"]


@pytest.mark.parametrize("delivery", ["at-least-once", "exactly-once"])
def test_events_are_written_as_they_were_read(broker, hub, producer, tools, tmp_path, delivery) -> None:
    """More than one request takes: 3 MB in an epoch."""
    source, target = hub(more=f"-{delivery}"), hub(more=f"-{delivery}-out")
    body = "x" * 30_000
    for at in range(100):
        headers = [("trace", b"%d" % at)]
        producer.send(source["event_hub"], at % 2, [f"{at}:{body}"], key=f"k{at}", headers=headers)
    if delivery == "exactly-once":
        broker.allow("$ConnectionString", ResourceType.TRANSACTIONAL_ID, "tidemill-*", AclOperation.ALL)
        broker.allow("$ConnectionString", ResourceType.GROUP, "tidemill-*", AclOperation.READ)
    query = reading(tmp_path / "copy", source)
    given = ", ".join(f"{name} = '{value}'" for name, value in {**target, "delivery": delivery}.items())
    sql = query.sql.read_text(encoding="utf-8")
    begin = sql.index("CREATE TABLE out")
    query.sql.write_text(
        f"{sql[:begin]}CREATE TABLE out WITH (connector = 'eventhubs', {given});\n"
        "INSERT INTO out SELECT body, partitionKey, properties FROM incoming;\n",
        encoding="utf-8",
    )
    query.run()
    shown = [f"print.{what}=true" for what in ("headers", "key", "value")]
    lines = tools.consume(target["event_hub"], *shown, records=100)
    assert sorted(lines) == sorted(f"trace:{at}\tk{at}\t{at}:{body}" for at in range(100))


def test_what_is_wrong_with_a_connection_is_said(hub, tmp_path) -> None:
    options = hub()
    cut = options["connection_string"].replace("SharedAccessKey=", "Key=")
    assert "has no SharedAccessKey" in reading(tmp_path / "cut", {**options, "connection_string": cut}).run(code=78)
    wrong = options["connection_string"].replace(SHARED_KEY, "d3Jvbmc=")
    denied = {**options, "connection_string": wrong, "connect_timeout": "4s"}
    told = reading(tmp_path / "wrong", denied).run(code=77)
    assert "uthentication" in told and "d3Jvbmc=" not in told
    absent = {**options, "event_hub": options["event_hub"] + "-absent"}
    assert reading(tmp_path / "absent", absent).run(code=77)
