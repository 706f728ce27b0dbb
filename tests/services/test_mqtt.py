"""The sink `mqtt` against a real Mosquitto, read back with paho-mqtt: topics, properties, kills of both sides, lost
acknowledgements, passwords and TLS."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from harness import run_to_end, stop
from kinds import mosquitto
from pipeline import Pipeline, ended
from proxy import Proxy
from test_feast import clients_python

HERE = Path(__file__).parent
COLUMNS = "id BIGINT, device STRING"
QUIET_SECONDS = 0.7


@pytest.fixture
def brokers():
    """Brokers that a test starts; they end with it."""
    started: list[mosquitto.Broker] = []
    yield started
    for broker in started:
        stop(broker.process)


def read(port: int, topics: str = "out/#", session: str = "reader") -> list[dict]:
    """What has come to a persistent session since it was read last; the first call makes the session."""
    command = [str(clients_python()), str(HERE / "mqtt_subscriber.py"), str(port), topics, session, str(QUIET_SECONDS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def ids(messages: list[dict]) -> list[int]:
    """The ids in messages."""
    return [json.loads(message["payload"])["id"] for message in messages]


def published(folder: Path, port: int, **table: object) -> Pipeline:
    """A pipeline that publishes events."""
    table = {"connector": "mqtt", "url": f"mqtt://127.0.0.1:{port}", "format": "json", "topic": "out/all", **table}
    table = {name: value for name, value in table.items() if value is not None}
    return Pipeline(folder, COLUMNS, "SELECT * FROM events", **table)


def events(number: int, count: int = 50) -> list[dict]:
    """The rows of one file."""
    return [{"id": at, "device": f"d{at % 3}"} for at in range(number * count, (number + 1) * count)]


@pytest.mark.parametrize("qos", ["0", "1", "2"])
def test_messages_have_topics_of_columns_and_say_their_epoch(tmp_path, brokers, qos):
    brokers.append(broker := mosquitto.Broker(tmp_path / "broker"))
    read(broker.port)
    options = {"topic": None, "topic_column": "topic", "user_properties": "properties", "content_type": "text/x"}
    query = "SELECT concat('out/', device) AS topic, id, map('device', device) AS properties FROM events"
    pipeline = Pipeline(
        tmp_path / "p",
        COLUMNS,
        query,
        connector="mqtt",
        url=f"127.0.0.1:{broker.port}",
        format="json",
        qos=qos,
        **{name: value for name, value in options.items() if value},
    )
    pipeline.feed(*events(0))
    pipeline.feed(*events(1))
    pipeline.run()
    messages = read(broker.port)
    assert Counter(ids(messages)) == Counter(range(100))
    assert [json.loads(m["payload"])["id"] for m in messages if m["topic"] == "out/d1"] == list(range(1, 100, 3))
    message = next(message for message in messages if json.loads(message["payload"])["id"] == 51)
    assert (message["topic"], message["qos"], message["content_type"]) == ("out/d0", int(qos), "text/x")
    assert message["properties"]["device"] == "d0" and message["properties"]["tidemill-epoch"] == "1"
    # a second run has nothing new
    pipeline.run()
    assert read(broker.port) == []


def test_retained_messages_and_the_marker(tmp_path, brokers):
    brokers.append(broker := mosquitto.Broker(tmp_path / "broker"))
    pipeline = published(tmp_path / "p", broker.port, retain="true", epoch_properties="false")
    pipeline.feed(*events(0))
    pipeline.run()
    (last,) = read(broker.port)
    assert last["retain"] and ids([last]) == [49] and last["properties"] == {}
    (marker,) = read(broker.port, "tidemill/#", "marker")
    assert marker["topic"] == "tidemill/p/out" and json.loads(marker["payload"])["epoch"] == 0


def test_an_epoch_that_the_broker_remembers_is_not_sent_again(tmp_path, brokers):
    brokers.append(broker := mosquitto.Broker(tmp_path / "broker"))
    read(broker.port)
    pipeline = published(tmp_path / "p", broker.port)
    for number in range(3):
        pipeline.feed(*events(number))
    # the debug program is killed between the sink's commit and its own
    killed = pipeline.start("--trigger", "available-now", "--fault", "sink-committed:2:kill")
    assert killed.wait(30) != 0
    killed.communicate()
    pipeline.run()
    assert ids(read(broker.port)) == list(range(150))
    # without a marker the same kill sends the epoch twice, and the messages say so
    bare = published(tmp_path / "bare", broker.port, marker_topic="")
    for number in range(3):
        bare.feed(*events(number))
    bare.start("--trigger", "available-now", "--fault", "sink-committed:2:kill").communicate()
    bare.run()
    messages = read(broker.port)
    twice = [at for at, count in Counter(ids(messages)).items() if count == 2]
    assert len(messages) == 200 and twice == list(range(50, 100))
    assert {message["properties"]["tidemill-epoch"] for message in messages if ids([message])[0] in twice} == {"1"}


def test_a_program_that_is_killed_loses_nothing(tmp_path, brokers):
    brokers.append(broker := mosquitto.Broker(tmp_path / "broker"))
    read(broker.port)
    pipeline = published(tmp_path / "p", broker.port, qos="1")
    moments = random.Random(7)
    for number in range(6):
        pipeline.feed(*events(2 * number, 100))
        pipeline.feed(*events(2 * number + 1, 100))
        process = pipeline.start()
        time.sleep(moments.uniform(0.05, 0.6))
        process.send_signal(signal.SIGKILL)
        process.communicate()
    pipeline.run()
    messages = read(broker.port)
    found = Counter(ids(messages))
    assert set(found) == set(range(1200))
    # what is there twice belongs to epochs that were killed, and has one epoch and writer
    said = {at: set() for at in found}
    for message in messages:
        said[ids([message])[0]].add((message["properties"]["tidemill-writer"], message["properties"]["tidemill-epoch"]))
    assert all(len(by) == 1 for by in said.values())
    assert sum(found.values()) < 1200 + 6 * 100


@pytest.mark.parametrize("qos", ["1", "2"])
def test_a_broker_that_is_killed_is_waited_for(tmp_path, brokers, qos):
    brokers.append(broker := mosquitto.Broker(tmp_path / "broker"))
    read(broker.port)
    pipeline = published(tmp_path / "p", broker.port, qos=qos, session_expiry_interval="1 hour")
    fed: set[int] = set()
    come: set[int] = set()

    def feed(rows: list[dict]) -> None:
        pipeline.feed(*rows)
        fed.update(row["id"] for row in rows)

    query = pipeline.start()
    try:
        for number in range(6):
            feed(events(number, 200))
            if number == 0:
                # a broker that is away when the query starts is an error
                assert any(read(broker.port, "tidemill/#", "marker") for _ in range(30))
            if number % 2:
                # what Mosquitto has acknowledged and not written down is lost with it: nothing may be on its way
                for _ in range(30):
                    come.update(ids(read(broker.port)))
                    if come == fed:
                        break
                broker.settle()
                broker.kill()
                feed(events(100 + number, 10))
                broker.start()
        time.sleep(0.5)
        assert query.poll() is None
    finally:
        query.terminate()
        ended(query)
    pipeline.run()
    come.update(ids(read(broker.port)))
    assert come == fed


@pytest.mark.parametrize(("qos", "expiry"), [("1", "1 hour"), ("2", "1 hour"), ("1", "0s")])
def test_connections_that_break_in_the_middle_of_an_epoch(tmp_path, brokers, qos, expiry):
    brokers.append(broker := mosquitto.Broker(tmp_path / "broker"))
    read(broker.port)
    with Proxy(broker.port) as proxy:
        pipeline = published(tmp_path / "p", proxy.port, qos=qos, session_expiry_interval=expiry)
        for number in range(8):
            pipeline.feed(*events(number))
        # the broker has a message, and its acknowledgement is lost
        proxy.drop_answer_to(b'5,"device"', times=12)
        pipeline.run()
        assert proxy.dropped >= 6
    messages = read(broker.port)
    found = Counter(ids(messages))
    assert set(found) == set(range(400))
    if qos == "2":
        # the session went on: with QoS 2 a message that was sent again is not there twice
        assert set(found.values()) == {1}
        assert ids(messages) == list(range(400))


def test_a_broker_that_hangs_or_is_away_is_not_waited_for_without_end(tmp_path, brokers):
    brokers.append(broker := mosquitto.Broker(tmp_path / "broker"))
    away = published(tmp_path / "away", mosquitto.free_port())
    away.feed(*events(0))
    told = away.run(75)
    assert "MQTT broker at 127.0.0.1" in told and "refused" in told, told
    pipeline = published(tmp_path / "p", broker.port, retry_timeout="1 second")
    query = pipeline.start()
    pipeline.feed(*events(0))
    while not read(broker.port, "out/#", "settled"):
        pipeline.feed(*events(pipeline.files))
    broker.kill()
    pipeline.feed(*events(pipeline.files))
    assert "tried" in ended(query, 75)


def test_passwords_and_access_rules(tmp_path, brokers):
    passwords = mosquitto.password_file(tmp_path / "broker", "writer", "s3ntinel")
    rules = tmp_path / "broker" / "rules"
    rules.write_text("user writer\ntopic write out/#\ntopic readwrite tidemill/#\n", encoding="ascii")
    rules.chmod(0o600)
    settings = (f"password_file {passwords}", f"acl_file {rules}")
    brokers.append(broker := mosquitto.Broker(tmp_path / "broker", *settings, anonymous=False))
    wrong = published(tmp_path / "wrong", broker.port, username="writer", password="s3ntinel-no")
    wrong.feed(*events(0))
    told = wrong.run(77)
    assert "s3ntinel" not in told.splitlines()[0] and "password" in told, told
    right = published(tmp_path / "right", broker.port, username="writer", password="s3ntinel")
    right.feed(*events(0))
    right.run()
    forbidden = published(tmp_path / "no", broker.port, username="writer", password="s3ntinel", topic="secret")
    forbidden.feed(*events(0))
    told = forbidden.run(77)
    assert "does not take a message to 'secret': NotAuthorized" in told, told


def test_tls_is_verified(tmp_path, brokers):
    folder = tmp_path / "broker"
    folder.mkdir()
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    subject += ["-addext", "basicConstraints=critical,CA:FALSE"]
    request = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject]
    run_to_end([*request, "-keyout", str(key), "-out", str(certificate)], folder / "openssl.log", 30)
    os.chmod(key, 0o600)
    brokers.append(broker := mosquitto.Broker(folder, f"certfile {certificate}", f"keyfile {key}"))
    url = f"mqtts://localhost:{broker.port}"
    pipeline = published(tmp_path / "p", broker.port, url=url, ssl_ca_location=certificate)
    pipeline.feed(*events(0))
    pipeline.run()
    unknown = published(tmp_path / "unknown", broker.port, url=url)
    unknown.feed(*events(0))
    assert "certificate" in unknown.run(78).lower()
