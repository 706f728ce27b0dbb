"""The sink `redis` against real servers, read back with redis-cli: shapes, crashes, lost answers, failover."""

import json
import socket
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from harness import stop
from kinds import redis
from pipeline import Pipeline, ended

ALWAYS = ("--appendonly", "yes", "--appendfsync", "always", "--save", "")
COLUMNS = "id BIGINT, user STRING, amount BIGINT"
TOTALS = "SELECT user, count(*) AS n, sum(amount) AS total FROM events GROUP BY user"
USERS = 7


@pytest.fixture
def nodes():
    """Servers that a test starts; they end with it."""
    started: list[redis.Node] = []
    yield started
    for node in started:
        stop(node.process)


def events(number: int, count: int = 20) -> list[dict]:
    """The rows of one file."""
    first = number * count
    return [{"id": at, "user": f"u{at % USERS}", "amount": at} for at in range(first, first + count)]


class Totals:
    """Totals by user, as the sink must hold them after what was fed."""

    def __init__(self, folder: Path, node: redis.Node, **table: object) -> None:
        table = {"connector": "redis", "key": "user:{user}", "url": f"redis://127.0.0.1:{node.port}", **table}
        self.node = node
        self.pipeline = Pipeline(folder, COLUMNS, TOTALS, output_mode="update", **table)
        self.counts: Counter[str] = Counter()
        self.sums: Counter[str] = Counter()

    def feed(self, files: int = 1) -> None:
        for _ in range(files):
            rows = events(self.pipeline.files)
            for row in rows:
                self.counts[row["user"]] += 1
                self.sums[row["user"]] += row["amount"]
            self.pipeline.feed(*rows)

    def wrong(self) -> dict:
        """Users whose hash is not what it must be, with what it is."""
        found = {user: pairs(self.node.cli("HGETALL", f"user:{user}")) for user in self.counts}
        due = {user: {"user": user, "n": str(n), "total": str(self.sums[user])} for user, n in self.counts.items()}
        return {user: hash for user, hash in found.items() if hash != due[user]}

    def check(self) -> None:
        assert self.wrong() == {}

    def settle(self) -> None:
        """Waits until the running query has written all that was fed."""
        deadline = time.monotonic() + 30.0
        while self.wrong():
            assert time.monotonic() < deadline, self.wrong()
            time.sleep(0.05)


def pairs(told: str) -> dict[str, str]:
    """The hash that redis-cli printed, a field and a value a line."""
    lines = told.splitlines()
    # an error is one line
    return {"error": told} if len(lines) % 2 else dict(zip(lines[::2], lines[1::2], strict=True))


def test_totals_are_kept_over_restarts_and_a_second_run_writes_nothing(tmp_path, nodes):
    nodes.append(node := redis.Node(tmp_path / "redis", *ALWAYS))
    totals = Totals(tmp_path / "p", node, ttl="1 hour")
    for _ in range(3):
        totals.feed(2)
        totals.pipeline.run()
        totals.check()
    assert 3_500_000 < int(node.cli("PTTL", "user:u1")) <= 3_600_000
    offset = node.cli("INFO", "replication")
    totals.pipeline.run()
    totals.check()
    assert "epoch" not in offset


def test_json_values_and_streams(tmp_path, nodes):
    nodes.append(node := redis.Node(tmp_path / "redis", *ALWAYS))
    url = f"redis://127.0.0.1:{node.port}/2"
    plain = {"connector": "redis", "url": url}
    rows = "SELECT * FROM events"
    shapes = {
        "json": Pipeline(tmp_path / "json", COLUMNS, rows, key="j:{id}", shape="json", **plain),
        "string": Pipeline(
            tmp_path / "string", COLUMNS, "SELECT id, amount FROM events", key="s:{id}", shape="string", **plain
        ),
        "stream": Pipeline(tmp_path / "stream", COLUMNS, rows, key="events", shape="stream", script_rows=7, **plain),
    }
    for pipeline in shapes.values():
        for number in range(3):
            pipeline.feed(*events(number))
        pipeline.feed({"id": 1})
        pipeline.run()
    assert json.loads(node.cli("-n", "2", "GET", "j:33")) == {"id": 33, "user": "u5", "amount": 33}
    assert node.cli("-n", "2", "GET", "s:33") == "33"
    # a row with nothing but its key deletes it
    assert node.cli("-n", "2", "EXISTS", "j:1", "s:1") == "0"
    entries = node.cli("-n", "2", "XRANGE", "events", "-", "+").splitlines()
    ids = [line for line in entries if "-" in line]
    assert ids == [f"{epoch}-{at}" for epoch in (1, 2, 3) for at in range(20)] + ["4-0"]
    assert node.cli("-n", "2", "XLEN", "events") == "61"


def test_complete_results_leave_no_old_keys(tmp_path, nodes):
    nodes.append(node := redis.Node(tmp_path / "redis", *ALWAYS))
    query = "SELECT user, sum(amount) AS total FROM events GROUP BY user ORDER BY total DESC LIMIT 2"
    top = Pipeline(
        tmp_path / "p",
        COLUMNS,
        query,
        connector="redis",
        url=f"127.0.0.1:{node.port}",
        key="top:{user}",
        shape="string",
        script_rows=1,
        output_mode="complete",
    )
    top.feed(*({"user": f"u{at}", "amount": at} for at in range(5)))
    top.run()
    assert sorted(node.cli("KEYS", "top:*").split()) == ["top:u3", "top:u4"]
    top.feed({"user": "u0", "amount": 100})
    top.run()
    assert sorted(node.cli("KEYS", "top:*").split()) == ["top:u0", "top:u4"]
    assert node.cli("GET", "top:u0") == "100"


def test_a_server_that_is_killed_while_the_query_runs(tmp_path, nodes):
    nodes.append(node := redis.Node(tmp_path / "redis", *ALWAYS))
    totals = Totals(tmp_path / "p", node, script_rows=3)
    query = totals.pipeline.start()
    try:
        # a server that is away when the query starts is an error
        totals.feed()
        totals.settle()
        for _ in range(5):
            totals.feed(8)
            time.sleep(0.1)
            node.kill()
            totals.feed(2)
            node.start()
        totals.settle()
        assert query.poll() is None
    finally:
        query.terminate()
        ended(query)
    totals.check()


def test_what_a_crash_has_lost_is_written_again(tmp_path, nodes):
    nodes.append(node := redis.Node(tmp_path / "redis", "--save", ""))
    totals = Totals(tmp_path / "p", node)
    stream = Pipeline(
        tmp_path / "s",
        COLUMNS,
        "SELECT * FROM events",
        connector="redis",
        url=f"redis://127.0.0.1:{node.port}",
        key="events",
        shape="stream",
    )
    for files in (3, 4):
        totals.feed(files)
        for _ in range(files):
            stream.feed(*events(stream.files))
        totals.pipeline.run()
        stream.run()
        if files == 3:
            node.cli("SAVE")
    node.kill()
    node.start()
    assert totals.wrong() and node.cli("XLEN", "events") == "60"
    totals.pipeline.run()
    stream.run()
    totals.check()
    entries = node.cli("XRANGE", "events", "-", "+").splitlines()
    assert [int(entries[at + 2]) for at in range(0, len(entries), 7)] == list(range(140))


def test_a_running_query_notices_that_the_server_went_back(tmp_path, nodes):
    nodes.append(node := redis.Node(tmp_path / "redis", "--save", ""))
    totals = Totals(tmp_path / "p", node)
    query = totals.pipeline.start()
    totals.feed(3)
    totals.settle()
    node.cli("SAVE")
    totals.feed(3)
    totals.settle()
    node.kill()
    node.start()
    totals.feed()
    assert "went back" in ended(query, 75)
    totals.pipeline.run()
    totals.check()


class Dropping(threading.Thread):
    """Passes bytes between clients and a server; when armed, it closes instead of passing the next answer
    to a script."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self.server = port
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port = self.listening.getsockname()[1]
        self.armed = False
        self.dropped = 0
        self.start()

    def run(self) -> None:
        while True:
            client, _ = self.listening.accept()
            server = socket.create_connection(("127.0.0.1", self.server))
            for pair in ((client, server, False), (server, client, True)):
                threading.Thread(target=self.pump, args=pair, daemon=True).start()

    def pump(self, source: socket.socket, target: socket.socket, answers: bool) -> None:
        try:
            while data := source.recv(1 << 16):
                if answers and self.armed and b"OK" in data:
                    self.armed = False
                    self.dropped += 1
                    break
                target.sendall(data)
        except OSError:
            pass
        for end in (source, target):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


def test_an_answer_that_is_lost_changes_nothing(tmp_path, nodes):
    nodes.append(node := redis.Node(tmp_path / "redis", *ALWAYS))
    proxy = Dropping(node.port)
    url = f"redis://127.0.0.1:{proxy.port}"
    totals = Totals(tmp_path / "p", node, url=url, script_rows=3)
    table = {"connector": "redis", "url": url, "key": "events", "shape": "stream", "script_rows": 3}
    stream = Pipeline(tmp_path / "s", COLUMNS, "SELECT * FROM events", **table)
    queries = [totals.pipeline.start(), stream.start()]
    try:
        for _ in range(8):
            proxy.armed = True
            totals.feed()
            stream.feed(*events(stream.files))
            totals.settle()
        deadline = time.monotonic() + 20
        while node.cli("XLEN", "events") != "160" and time.monotonic() < deadline:
            time.sleep(0.05)
    finally:
        for query in queries:
            query.terminate()
            ended(query)
    totals.check()
    assert node.cli("XLEN", "events") == "160"
    assert proxy.dropped >= 4


def test_a_full_server_is_waited_for(tmp_path, nodes):
    nodes.append(node := redis.Node(tmp_path / "redis", *ALWAYS))
    totals = Totals(tmp_path / "p", node, retry_timeout="1 second")
    totals.feed()
    node.cli("CONFIG", "SET", "maxmemory", "1")
    told = totals.pipeline.run(75)
    assert "out of memory" in told and "maxmemory" in told, told
    patient = Totals(tmp_path / "patient", node, key="p:{user}")
    patient.feed()
    query = patient.pipeline.start("--trigger", "available-now")
    time.sleep(1.0)
    assert query.poll() is None
    node.cli("CONFIG", "SET", "maxmemory", "0")
    ended(query)
    totals.pipeline.run()
    totals.check()


def test_errors_say_what_to_do(tmp_path, nodes):
    nodes.append(master := redis.Node(tmp_path / "master", "--save", ""))
    nodes.append(replica := redis.Node(tmp_path / "replica", "--save", "", "--replicaof", f"127.0.0.1 {master.port}"))
    replica.until("INFO replication", lambda told: "master_link_status:up" in told)
    totals = Totals(tmp_path / "replica-run", replica, retry_timeout="500ms")
    totals.feed()
    assert "is a replica" in totals.pipeline.run(75)

    acknowledged = Totals(tmp_path / "acknowledged", master, key="a:{user}", replicas_ack=1)
    acknowledged.feed()
    acknowledged.pipeline.run()
    wanting = Totals(tmp_path / "wanting", master, key="w:{user}", replicas_ack=2, replicas_timeout="300ms")
    wanting.feed()
    assert "1 of the 2 replicas" in wanting.pipeline.run(75)

    master.cli("CONFIG", "SET", "requirepass", "s3ntinel")
    locked = Totals(tmp_path / "locked", master)
    locked.feed()
    assert "password" in locked.pipeline.run(77)
    wrong = Totals(tmp_path / "wrong", master, password="s3ntinel-no")
    wrong.feed()
    told = wrong.pipeline.run(77)
    # below the message stands the line of the user's own text
    assert "s3ntinel" not in told.splitlines()[0], told
    right = Totals(tmp_path / "right", master, password="s3ntinel")
    right.feed()
    right.pipeline.run()


def test_a_process_that_was_replaced_writes_nothing(tmp_path, nodes):
    nodes.append(node := redis.Node(tmp_path / "redis", *ALWAYS))
    totals = Totals(tmp_path / "p", node)
    query = totals.pipeline.start()
    totals.feed()
    totals.settle()
    held = node.cli("HGETALL", "user:u1")
    node.cli("HSET", "tidemill:{p/out}", "owner", "99/another")
    totals.feed()
    assert "taken over" in ended(query, 76)
    assert node.cli("HGETALL", "user:u1") == held


def test_a_cluster_with_a_node_that_is_killed(tmp_path, nodes):
    nodes.extend(redis.cluster(tmp_path / "cluster"))
    totals = Totals(tmp_path / "p", nodes[0], cluster="true")
    query = totals.pipeline.start()
    try:
        totals.feed(5)
        totals.settle()
        nodes[1].cli("WAIT", "0", "0")
        nodes[1].process.terminate()
        nodes[1].process.wait()
        totals.feed(5)
        nodes[1].start()
        totals.settle()
    finally:
        query.terminate()
        ended(query)
    assert sum(int(node.cli("DBSIZE").split()[-1]) > 0 for node in nodes) == 3
    tagged = Totals(tmp_path / "tagged", nodes[0], cluster="true", key="{{all}}:{user}")
    tagged.feed()
    tagged.pipeline.run()
    assert pairs(nodes[0].cli("HGETALL", "{all}:u1"))["n"] == "3"


def test_a_failover_that_loses_the_tail(tmp_path, nodes):
    secret = ("--requirepass", "pw", "--masterauth", "pw", "--save", "")
    nodes.append(master := redis.Node(tmp_path / "a", *secret))
    nodes.append(replica := redis.Node(tmp_path / "b", *secret, "--replicaof", f"127.0.0.1 {master.port}"))
    for node in (master, replica):
        plain = node.cli
        node.cli = lambda *words, plain=plain: plain("-a", "pw", "--no-auth-warning", *words)
    replica.until("INFO replication", lambda told: "master_link_status:up" in told)
    nodes.append(sentinel := redis.sentinel(tmp_path / "s", master, "mymaster", "pw"))
    sentinel.until("SENTINEL replicas mymaster", lambda told: str(replica.port) in told)
    url = f"redis://127.0.0.1:{sentinel.port}"
    totals = Totals(tmp_path / "p", master, url=url, sentinel_master="mymaster", password="pw")
    query = totals.pipeline.start()
    totals.feed(3)
    totals.settle()
    replica.until("INFO replication", lambda told: "master_link_status:up" in told)
    # the replica is cut off, and what comes now is acknowledged but never copied
    replica.cli("CONFIG", "SET", "masterauth", "wrong")
    master.cli("CLIENT", "KILL", "TYPE", "replica")
    totals.feed(3)
    totals.settle()
    master.kill()
    totals.node = replica
    assert totals.wrong()
    totals.feed()
    assert "went back" in ended(query, 75)
    assert "role:master" in replica.cli("INFO", "replication")
    totals.pipeline.run()
    totals.check()
