"""A query whose payloads name schemas of a registry that is a server: writers that change theirs while it runs, and a
registry that is away when the query starts and while it runs. Confluent's serializer writes the payloads."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parents[1] / "services")]

from harness import free_port, spawn, stop, wait_for_port  # noqa: E402
from pushed import PROGRAM, Query  # noqa: E402
from test_formats import CLIENTS, rows, run  # noqa: E402

START_SECONDS = 20.0
QUIET_SECONDS = 3.0
NARROW = {"type": "record", "name": "Order", "fields": [{"name": "id", "type": "int"}]}
WIDE = NARROW | {
    "fields": [{"name": "id", "type": "long"}, {"name": "channel", "type": ["null", "string"], "default": None}]
}
WIDER = NARROW | {"fields": [*WIDE["fields"], {"name": "weight", "type": "double", "default": 0.0}]}
FEED = """
CREATE TABLE fed (value BINARY) WITH (connector = 'files', path = 'fed', format = 'json');
CREATE TABLE topic WITH (connector = 'log', path = 'log', topic = 'orders');
INSERT INTO topic SELECT value FROM fed;
"""


class Registry:
    """`tidemill schema serve`, which can be stopped and started again."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.start()

    def start(self) -> None:
        """Starts it; returns when it listens."""
        log = self.folder / "registry.log"
        serve = [str(PROGRAM), "schema", "serve", str(self.folder / "registry"), "--listen", f"127.0.0.1:{self.port}"]
        self.process = spawn(serve, log)
        wait_for_port(self.port, self.process, log, START_SECONDS)

    def stop(self) -> None:
        """Ends it."""
        stop(self.process)


class Orders:
    """A topic of the embedded log with payloads of the serializer, and the query that reads it."""

    def __init__(self, folder: Path, registry: Registry) -> None:
        self.folder, self.registry, self.files = folder, registry, 0
        (folder / "fed").mkdir()
        self.query = Query(
            folder / "read",
            columns="(id BIGINT, channel STRING)",
            head="SET dead_letter = 'bad';\nCREATE TABLE bad WITH (connector = 'files', path = 'bad', format = 'json');",
            connector="log",
            path=str(folder / "log"),
            topic="orders",
            format="avro",
            avro_framing="confluent",
            schema_registry=registry.url,
        )

    def serialized(self, schema: dict, *values: dict) -> list[str]:
        """Payloads; their schema is registered."""
        command = [str(CLIENTS), str(HERE / "serialize.py"), self.registry.url, "orders"]
        given = json.dumps({"schema": schema, "values": values})
        done = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def feed(self, payloads: list[str]) -> None:
        """Puts payloads into the topic."""
        lines = "".join(json.dumps({"value": payload}) + "\n" for payload in payloads)
        (self.folder / "fed" / f"{self.files}.json").write_text(lines, encoding="utf-8")
        self.files += 1
        run(self.folder, "feed", FEED)

    def bad(self) -> list[dict]:
        """The dead letters."""
        return rows(self.folder / "read" / "bad")


@pytest.fixture
def registry(tmp_path):
    """A registry of the test's own."""
    one = Registry(tmp_path)
    yield one
    one.stop()


def test_a_new_schema_of_a_writer_is_read_without_a_restart(tmp_path, registry) -> None:
    orders = Orders(tmp_path, registry)
    orders.feed(orders.serialized(NARROW, {"id": 1}, {"id": 2}))
    with orders.query as query:
        query.start()
        query.until(lambda seen: seen == [{"id": 1}, {"id": 2}])
        orders.feed(orders.serialized(WIDE, {"id": 1 << 40, "channel": "shop"}, {"id": 4, "channel": None}))
        query.until(lambda seen: seen[2:] == [{"id": 1 << 40, "channel": "shop"}, {"id": 4}])
        orders.feed(orders.serialized(WIDER, {"id": 5, "channel": "web", "weight": 1.5}))
        query.until(lambda seen: seen[4:] == [{"id": 5, "channel": "web"}])
        assert query.stop() == 0, query.says()
    assert orders.bad() == []


def test_a_registry_that_is_away_is_waited_for(tmp_path, registry) -> None:
    orders = Orders(tmp_path, registry)
    orders.feed(orders.serialized(NARROW, {"id": 1}))
    later = orders.serialized(WIDE, {"id": 2, "channel": "shop"})
    registry.stop()
    with orders.query as query:
        query.start()
        with pytest.raises(subprocess.TimeoutExpired):
            query.process.wait(QUIET_SECONDS)
        assert query.rows() == []
        registry.start()
        query.until(lambda seen: seen == [{"id": 1}])
        registry.stop()
        orders.feed(later)
        with pytest.raises(subprocess.TimeoutExpired):
            query.process.wait(QUIET_SECONDS)
        assert query.rows() == [{"id": 1}], "what is not known yet is neither guessed nor set aside"
        registry.start()
        query.until(lambda seen: seen[1:] == [{"id": 2, "channel": "shop"}])
        assert query.stop() == 0, query.says()
    assert orders.bad() == []
