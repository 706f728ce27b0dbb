"""The source `mqtt` against a real Mosquitto, fed with mosquitto_pub: topics and properties, kills, restarts of the broker,
sessions that are lost, passwords."""

import json
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))

from pushed import Query, wait_for

sys.path.insert(0, str(Path(__file__).parent.parent.parent / "services"))

from harness import stop
from kinds import mosquitto

SECRET = "s3ntinel-of-the-broker"
PUBLISH_SECONDS = 30


@pytest.fixture
def brokers():
    """Brokers that a test starts; they end with it."""
    started: list[mosquitto.Broker] = []
    yield started
    for broker in started:
        stop(broker.process)


def received(folder: Path, port: int, **table: object) -> Query:
    """A query over messages."""
    options = {
        "connector": "mqtt",
        "log": "log",
        "url": f"mqtt://127.0.0.1:{port}",
        "client_id": "mill",
        "topic": "in/#",
        "format": "json",
    }
    table = {name: value for name, value in (options | table).items() if value is not None}
    select, columns = table.pop("select", "*"), table.pop("columns", "(id BIGINT)")
    return Query(folder, select=select, columns=columns, **table)


def publish(port: int, topic: str, *arguments: str, lines: list[str] | None = None) -> int:
    """Publishes with mosquitto_pub, a message a line; 0 when the broker has acknowledged all."""
    command = ["mosquitto_pub", "-V", "mqttv5", "-p", str(port), "-t", topic, *arguments]
    command += ["-l"] if lines is not None else []
    text = None if lines is None else "".join(f"{line}\n" for line in lines)
    done = subprocess.run(command, input=text, text=True, capture_output=True, check=False, timeout=PUBLISH_SECONDS)
    return done.returncode


def messages(*ids: int) -> list[str]:
    """Payloads."""
    return [json.dumps({"id": number}) for number in ids]


def ids(query: Query) -> Counter:
    """The ids that are committed."""
    return Counter(row["id"] for row in query.rows())


@pytest.mark.parametrize("qos", ["1", "2"])
def test_messages_come_once_and_wait_while_the_query_does_not_run(tmp_path, brokers, qos):
    brokers.append(broker := mosquitto.Broker(tmp_path / "broker"))
    query = received(tmp_path / "q", broker.port, qos=qos)
    with query:
        query.start()
        first = 0

        def comes() -> bool:
            nonlocal first
            first += 1
            publish(broker.port, "in/probe", "-q", qos, lines=messages(-first))
            return bool(query.rows())

        wait_for(comes, bool, query.says)
        assert publish(broker.port, "in/a", "-q", qos, lines=messages(*range(100))) == 0
        query.until(lambda rows: len([row for row in rows if row["id"] >= 0]) == 100)
        query.kill()
        assert publish(broker.port, "in/b", "-q", qos, lines=messages(*range(100, 200))) == 0
        query.start()
        query.until(lambda rows: {row["id"] for row in rows} >= set(range(200)))
        assert query.stop() == 0
        assert {number: count for number, count in ids(query).items() if number >= 0} == dict.fromkeys(range(200), 1)


def test_topics_properties_and_flags_are_columns(tmp_path, brokers):
    brokers.append(broker := mosquitto.Broker(tmp_path / "broker"))
    given = ["-D", "publish", "content-type", "text/x", "-D", "publish", "response-topic", "re"]
    given += ["-D", "publish", "user-property", "site", "a"]
    assert publish(broker.port, "in/kept", "-q", "2", "-r", "-m", "hot", *given) == 0
    query = received(
        tmp_path / "q",
        broker.port,
        topic="in/+, other",
        format=None,
        columns="",
        qos="2",
        select="CAST(value AS STRING) AS value, topic, qos, retain, properties['site'] AS site, content_type, response_topic",
    )
    with query:
        query.start()
        query.until(lambda rows: len(rows) == 1)
        assert publish(broker.port, "in/too/deep", "-q", "1", "-m", "x") == 0
        assert publish(broker.port, "other", "-q", "0", "-m", "cold") == 0
        rows = query.until(lambda rows: len(rows) == 2)
        hot = {"value": "hot", "topic": "in/kept", "qos": 2, "retain": True, "site": "a"}
        assert rows[0] == hot | {"content_type": "text/x", "response_topic": "re"}
        assert {name: rows[1].get(name) for name in hot} == {
            "value": "cold",
            "topic": "other",
            "qos": 0,
            "retain": False,
            "site": None,
        }
        assert query.stop() == 0


def test_what_a_publisher_knows_delivered_is_there_once_through_kills(tmp_path, brokers):
    dice = random.Random(tmp_path.name)
    brokers.append(broker := mosquitto.Broker(tmp_path / "broker"))
    query = received(tmp_path / "q", broker.port, idempotency_property="id", partitions=2, retry_timeout="30 seconds")
    done: list[int] = []
    stopping = threading.Event()

    def send(sender: int) -> None:
        number = sender
        while not stopping.is_set():
            given = ["-q", str(dice.choice([1, 2])), "-D", "publish", "user-property", "id", str(number)]
            while publish(broker.port, f"in/{sender}", *given, "-m", json.dumps({"id": number})) != 0:
                time.sleep(0.02)
            done.append(number)
            number += 3

    with query:
        query.start()
        wait_for(
            lambda: publish(broker.port, "in/probe", "-q", "1", "-m", '{"id": -1}') or query.rows(), bool, query.says
        )
        senders = [threading.Thread(target=send, args=(sender,)) for sender in range(3)]
        for each in senders:
            each.start()
        try:
            for cycle in range(6):
                goal = len(done) + dice.randrange(5, 40)
                wait_for(lambda: len(done), goal.__le__, query.says)
                if cycle % 3 == 2:
                    # in good order: killed, a broker loses what it has acknowledged and not saved yet
                    stop(broker.process)
                    broker.start()
                else:
                    query.kill()
                    query.start()
        finally:
            stopping.set()
            for each in senders:
                each.join(60)
        wanted = set(done)
        query.until(lambda rows: {row["id"] for row in rows} >= wanted)
        assert query.stop() == 0
        counts = ids(query)
        assert {number: counts[number] for number in wanted} == dict.fromkeys(wanted, 1)


def test_a_session_that_the_broker_has_lost_stops_the_query_once(tmp_path, brokers):
    brokers.append(broker := mosquitto.Broker(tmp_path / "broker"))
    query = received(tmp_path / "q", broker.port)
    with query:
        query.start()
        wait_for(
            lambda: publish(broker.port, "in/probe", "-q", "1", "-m", '{"id": 1}') or query.rows(), bool, query.says
        )
        assert query.stop() == 0
        stop(broker.process)
        for saved in broker.folder.glob("*.db"):
            saved.unlink()
        broker.start()
        query.start()
        assert query.ended() == 65
        assert "has not kept the session" in query.says()
        assert publish(broker.port, "in/a", "-q", "1", "-m", '{"id": 7}') == 0
        query.start()
        query.until(lambda rows: 7 in {row["id"] for row in rows})
        assert query.stop() == 0


def test_passwords_are_needed_and_not_told(tmp_path, brokers):
    passwords = mosquitto.password_file(tmp_path / "pw", "mill", SECRET)
    brokers.append(broker := mosquitto.Broker(tmp_path / "broker", f"password_file {passwords}", anonymous=False))
    wrong = received(tmp_path / "wrong", broker.port, username="mill", password=f"{SECRET}-not")
    with wrong:
        wrong.start()
        assert wrong.ended() == 77
        assert "see options 'username' and 'password'" in wrong.says()
    query = received(tmp_path / "q", broker.port, username="mill", password=SECRET)
    with query:
        query.start("--trigger", "processing-time 5ms", "-v", "-v")
        given = ["-u", "mill", "-P", SECRET, "-q", "1", "-m", '{"id": 1}']
        wait_for(lambda: publish(broker.port, "in/a", *given) or query.rows(), bool, query.says)
        assert query.stop() == 0
        assert query.holds_text(SECRET) == [] and wrong.holds_text(SECRET) == []


def test_a_client_id_is_asked_for(tmp_path):
    query = received(tmp_path / "q", 1, client_id=None)
    with query:
        query.start()
        assert query.ended() == 78
        assert "client_id" in query.says()
