"""A topic most of whose partitions stand still, and one that is a day behind: output must go on.

{"partitions": 64}        one of them gets events; another gets one that is a day old
"""

import json
from collections import Counter
from datetime import UTC, datetime, timedelta

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic
from life import Failed
from scene import SECONDS_MAX, Scene

KINDS = ("partitions",)
START = datetime(2024, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
MINUTES = 30
BUSY, BEHIND = 17, 3
TOPIC = "mostly-idle"
SQL = """
CREATE TABLE events (ts TIMESTAMP, n INT, WATERMARK FOR ts AS ts - INTERVAL '1 minute')
    WITH (connector = 'kafka', bootstrap_servers = '{brokers}', topic = '{topic}', starting_offsets = 'earliest',
          format = 'json');
CREATE TABLE results WITH (connector = 'files', path = 'out', format = 'json');
INSERT INTO results SELECT window.start AS opened, sum(n) AS total FROM events GROUP BY window(ts, '1 minute');
"""


def run(scene: Scene, _kind: str, partitions: int) -> str:
    """Two runs; after each, every window that the busy partition has closed is there, and nothing of the late event."""
    brokers = scene.services.settings("kafka")["KAFKA_BOOTSTRAP"]
    admin = AdminClient({"bootstrap.servers": brokers})
    admin.create_topics([NewTopic(TOPIC, partitions, 1)])[TOPIC].result(SECONDS_MAX)
    (scene.folder / "loop.sql").write_text(SQL.format(brokers=brokers, topic=TOPIC), encoding="utf-8")
    producer = Producer({"bootstrap.servers": brokers, "acks": "all", "log_level": 2})
    for turn in range(2):
        for minute in range(turn * MINUTES, (turn + 1) * MINUTES):
            send(producer, BUSY, START + MINUTE * minute, minute)
        if turn:
            send(producer, BEHIND, START - timedelta(days=1), 1)
        if producer.flush(SECONDS_MAX):
            raise Failed("the broker did not take the input")
        scene.finish()
        # the watermark is a minute behind the newest event, and closes the windows that end there
        expected = Counter({(START + MINUTE * minute, minute): 1 for minute in range((turn + 1) * MINUTES - 2)})
        if (seen := rows(scene)) != expected:
            raise Failed(f"lost {expected - seen}, too many {seen - expected}")
    return f"{expected.total()} windows from one of {partitions} partitions, the day-old event dropped"


def send(producer: Producer, partition: int, at: datetime, number: int) -> None:
    """One event."""
    producer.produce(TOPIC, json.dumps({"ts": at.isoformat(), "n": number}), partition=partition)


def rows(scene: Scene) -> Counter[tuple]:
    """The published rows."""
    found: Counter[tuple] = Counter()
    for manifest in sorted((scene.folder / "out/_tidemill/log").glob("*.json")):
        for file in json.loads(manifest.read_text(encoding="utf-8"))["files"]:
            for line in (scene.folder / "out" / file["name"]).read_text(encoding="utf-8").splitlines():
                row = json.loads(line)
                found[datetime.fromisoformat(row["opened"]), row["total"]] += 1
    return found
