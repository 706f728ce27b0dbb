"""Rows that a sink refuses for good, with `on_error = 'dead_letter'`: set aside once, and all others written once."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from harness import stop
from kinds import redis
from kinds.postgres import Server
from pipeline import PROGRAM, Pipeline, ended

COLUMNS = "id BIGINT, user STRING, amount BIGINT"
SETTING = "SET on_error = 'dead_letter';\n"
# what Postgres says against each: too long, a broken CHECK, a key that is there, a text it cannot hold
BAD = {
    3: ("22001", {"id": 3, "user": "much too long", "amount": 3}),
    17: ("23514", {"id": 17, "user": "u", "amount": -1}),
    30: ("23505", {"id": 7, "user": "again", "amount": 30}),
    31: ("NOT_ENCODABLE", {"id": 31, "user": "a\0b", "amount": 31}),
}
EVENTS = [BAD[at][1] if at in BAD else {"id": at, "user": f"u{at}", "amount": at} for at in range(40)]
GOOD = Counter(at for at in range(40) if at not in BAD)
# the second plan is the one that names refused rows
STEPS = ["plan-torn:2", "plan-logged:2", "sink-staging:2", "sink-committed:1", "sink-committed:2", "commit-torn:1"]


@pytest.fixture
def postgres(tmp_path):
    """A server with a table that does not take everything."""
    server = Server(tmp_path / "postgres")
    server.psql('CREATE TABLE orders (id bigint PRIMARY KEY, "user" varchar(8), amount bigint CHECK (amount >= 0))')
    yield server
    stop(server.process)


@pytest.fixture
def node(tmp_path):
    """A Redis."""
    started = redis.Node(tmp_path / "redis")
    yield started
    stop(started.process)


def pipeline(folder: Path, query: str = "SELECT id, user, amount FROM events", **table: object) -> Pipeline:
    """Orders as they come; what is refused is set aside."""
    made = Pipeline(folder, COLUMNS, query, **table)
    made.sql.write_text(SETTING + made.sql.read_text(encoding="utf-8"), encoding="utf-8")
    return made


def orders(folder: Path, server: Server) -> Pipeline:
    """Into the table of Postgres."""
    return pipeline(folder, connector="postgres", url=server.url, table="orders", sslmode="disable")


def letters(of: Pipeline) -> list[tuple[str, str, dict]]:
    """Stage, code and row of every dead letter."""

    def dlq(*command: str):
        whole = [str(PROGRAM), "dlq", *command, "--checkpoint", str(of.folder / "ckpt"), "--format", "json"]
        return json.loads(subprocess.run(whole, capture_output=True, text=True, check=True, timeout=30).stdout)

    listed = dlq("list", "--records")
    assert len({letter["id"] for letter in listed}) == len(listed)
    rows = [json.loads(dlq("show", letter["id"], "--unmasked")["value"]) for letter in listed]
    return [(letter["stage"], letter["code"], row) for letter, row in zip(listed, rows, strict=True)]


def key(letter: tuple[str, str, dict]) -> str:
    """Something to sort letters by."""
    return json.dumps(letter)


def held(server: Server) -> Counter[int]:
    """The ids in the table."""
    return Counter(int(line) for line in server.psql("SELECT id FROM orders").split())


def expected() -> list[tuple[str, str, dict]]:
    """The letters that there must be."""
    return sorted((("sink", code, row) for code, row in BAD.values()), key=key)


def test_rows_that_postgres_refuses_are_set_aside_and_the_others_written(postgres, tmp_path):
    made = orders(tmp_path / "p", postgres)
    made.feed(*EVENTS)
    made.run()
    assert held(postgres) == GOOD
    assert sorted(letters(made), key=key) == expected()
    made.feed({"id": 100, "user": "u", "amount": 1})
    made.run()
    assert held(postgres) == GOOD + Counter([100])
    assert len(letters(made)) == len(BAD)


@pytest.mark.parametrize("step", STEPS)
def test_a_kill_between_the_refusal_and_the_commit_changes_nothing(postgres, tmp_path, step):
    made = orders(tmp_path / "p", postgres)
    made.feed(*EVENTS)
    killed = made.start("--trigger", "available-now", "--fault", f"{step}:kill")
    assert ended(killed, -9) is not None
    made.run()
    assert held(postgres) == GOOD
    assert sorted(letters(made), key=key) == expected()


def test_without_the_setting_the_query_stops_and_nothing_is_written(postgres, tmp_path):
    made = orders(tmp_path / "p", postgres)
    made.sql.write_text(made.sql.read_text(encoding="utf-8").removeprefix(SETTING), encoding="utf-8")
    made.feed(*EVENTS)
    made.run(65)
    assert held(postgres) == Counter()


def test_too_many_refused_rows_stop_the_query(postgres, tmp_path):
    made = orders(tmp_path / "p", postgres)
    limit = "SET dead_letter_max_per_minute = 3;\n"
    made.sql.write_text(limit + made.sql.read_text(encoding="utf-8"), encoding="utf-8")
    made.feed(*EVENTS)
    assert "DEAD_LETTER_RATE_EXCEEDED" in made.run(65)
    assert held(postgres) == Counter()


def test_a_complete_result_and_an_upsert_leave_refused_rows_out(postgres, tmp_path):
    query = "SELECT id, max(user) AS user, sum(amount) AS amount FROM events GROUP BY id"
    table = {"connector": "postgres", "url": postgres.url, "table": "orders", "sslmode": "disable"}
    for name, mode in {"u": {"output_mode": "update", "primary_key": "id"}, "c": {"output_mode": "complete"}}.items():
        made = pipeline(tmp_path / name, query, **table, **mode)
        made.feed({"id": 1, "user": "a", "amount": 5}, {"id": 2, "user": "b", "amount": -5})
        made.run()
        assert postgres.psql('SELECT id, "user", amount FROM orders ORDER BY id') == "1|a|5"
        assert letters(made) == [("sink", "23514", {"id": 2, "user": "b", "amount": -5})]


def test_rows_whose_key_holds_another_type_in_redis_are_set_aside(node, tmp_path):
    url = f"redis://127.0.0.1:{node.port}"
    made = pipeline(tmp_path / "p", connector="redis", url=url, key="user:{user}", replace="false")
    node.cli("SET", "user:u3", "somebody's")
    made.feed(*({"id": at, "user": f"u{at % 7}", "amount": at} for at in range(20)))
    made.run()
    assert [node.cli("HGET", f"user:u{user}", "id") for user in (0, 2, 6)] == ["14", "16", "13"]
    assert node.cli("GET", "user:u3") == "somebody's"
    wrong = [("sink", "WRONGTYPE", {"id": at, "user": "u3", "amount": at}) for at in (3, 10, 17)]
    assert sorted(letters(made), key=key) == sorted(wrong, key=key)
