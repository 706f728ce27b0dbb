"""The sink `postgres` against a real server, read back with psql: types, modes, crashes, lost answers, fences."""

import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from harness import stop
from kinds.postgres import Server, certificate
from pipeline import Pipeline, ended
from proxy import Proxy

COLUMNS = "id BIGINT, user STRING, amount BIGINT"
TOTALS = "SELECT user, count(*) AS n, sum(amount) AS total FROM events GROUP BY user"
WAIT_SECONDS = 30.0


@pytest.fixture
def shared(tmp_path):
    """A server that the test does not harm; pipelines of one name would take it from one another."""
    server = Server(tmp_path / "postgres")
    yield server
    stop(server.process)


@pytest.fixture
def own(tmp_path):
    """A server of the test's own."""
    server = Server(tmp_path / "postgres")
    yield server
    stop(server.process)


def table(server: Server, name: str, **more: object) -> dict[str, object]:
    """Options of a table."""
    given = {"connector": "postgres", "url": server.url, "table": name, "sslmode": "disable", "create_table": "true"}
    return given | more


def events(number: int, count: int = 20) -> list[dict]:
    """The rows of one file."""
    return [{"id": at, "user": f"u{at % 7}", "amount": at} for at in range(number * count, (number + 1) * count)]


def append(folder: Path, server: Server, name: str, **more: object) -> Pipeline:
    """A pipeline that writes every event once."""
    return Pipeline(folder, COLUMNS, "SELECT * FROM events", **table(server, name, **more))


def due(pipeline: Pipeline) -> Counter[int]:
    """The ids that a table must hold, each once."""
    return Counter(range(pipeline.files * 20))


def held(server: Server, name: str) -> Counter[int]:
    """The ids that it holds."""
    return Counter(int(line) for line in server.psql(f"SELECT id FROM {name}", check=False).split())


def until(holds, what: str) -> None:
    """Waits for something that must come."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def test_every_type_arrives(shared, tmp_path):
    query = """SELECT CAST(id AS TINYINT) AS t, CAST(id AS SMALLINT) AS s, CAST(id AS INT) AS i, id,
        CAST(-1.5 AS FLOAT) AS f, CAST(2.25 AS DOUBLE) AS d, CAST(-12345.678 AS DECIMAL(20,5)) AS dec,
        true AS b, user, CAST(user AS BINARY) AS raw, DATE '1999-12-31' AS day,
        TIMESTAMP '2024-02-29 12:34:56.789012' AS at, CAST('2024-02-29 01:02:03' AS TIMESTAMP_NTZ) AS wall,
        array(1, CAST(NULL AS INT), 3) AS list, array(user, 'x,"y') AS names,
        named_struct('a', id, 'b', user) AS pair, map('k', amount) AS attributes, amount AS nothing FROM events"""
    pipeline = Pipeline(tmp_path / "p", COLUMNS, query, **table(shared, "types"))
    pipeline.feed({"id": 7, "user": "zo\u00eb"})
    pipeline.run()
    expected = (
        "7|7|7|7|-1.5|2.25|-12345.67800|t|zo\u00eb|\\x7a6fc3ab|1999-12-31|2024-02-29 12:34:56.789012+00|"
        '2024-02-29 01:02:03|{1,NULL,3}|{zo\u00eb,"x,\\"y"}|{"a": 7, "b": "zo\u00eb"}|{"k": null}|NULL'
    )
    assert shared.psql("SELECT * FROM types") == expected


def test_append_update_and_complete_over_restarts(shared, tmp_path):
    rows = append(tmp_path / "a", shared, "appended")
    totals = Pipeline(
        tmp_path / "u", COLUMNS, TOTALS, output_mode="update", **table(shared, "updated", primary_key="user")
    )
    top = Pipeline(
        tmp_path / "c",
        COLUMNS,
        TOTALS + " ORDER BY total DESC LIMIT 2",
        output_mode="complete",
        **table(shared, "top"),
    )
    for number in range(4):
        for pipeline in (rows, totals, top):
            pipeline.feed(*events(number))
            pipeline.run()
    assert held(shared, "appended") == due(rows)
    again = 'SELECT "user", count(*), sum(amount) FROM appended GROUP BY 1 ORDER BY 3 DESC, 1'
    assert shared.psql('SELECT * FROM updated ORDER BY total DESC, "user"') == shared.psql(again)
    assert shared.psql("SELECT * FROM top ORDER BY total DESC") == shared.psql(again + " LIMIT 2")
    assert shared.psql("SELECT count(DISTINCT epoch), count(*) FROM tidemill_commit WHERE epoch > 0").endswith("|3")


def test_a_table_of_ones_own_and_what_does_not_fit_it(shared, tmp_path):
    shared.psql(
        "CREATE TYPE mood AS ENUM ('u1'); CREATE SCHEMA shop; CREATE TABLE shop.own"
        ' (id int PRIMARY KEY, "user" mood, amount numeric, noted timestamptz DEFAULT now());'
        " CREATE TABLE shop.other (id bigint, who text); CREATE TABLE shop.typed"
        ' (id bigint, "user" text, amount boolean)'
    )
    fits = append(tmp_path / "fits", shared, "shop.own", primary_key="id")
    fits.feed({"id": 1, "user": "u1", "amount": 5}, {"id": 1, "user": "u1", "amount": 6})
    fits.run()
    assert shared.psql('SELECT id, "user", amount, noted IS NULL FROM shop.own') == "1|u1|6|f"
    for name, code, word in (
        ("shop.other", 78, "no column 'user'"),
        ("shop.typed", 78, '"amount" is of type boolean'),
        ("shop.nowhere", 78, "create_table"),
    ):
        pipeline = append(tmp_path / name, shared, name, create_table="false")
        pipeline.feed(*events(0))
        assert word in pipeline.run(code)
    wrong = append(tmp_path / "wrong", shared, "shop.own", primary_key="id")
    wrong.feed({"id": 2, "user": "zero\0byte", "amount": 1})
    told = wrong.run(65)
    assert "column 'user'" in told and "zero byte" in told, told


def test_an_answer_that_is_lost_changes_nothing(shared, tmp_path):
    with Proxy(shared.port) as proxy:
        url = f"postgresql://127.0.0.1:{proxy.port}/postgres"
        pipeline = append(tmp_path / "p", shared, "lost", url=url)
        query = pipeline.start()
        try:
            for number in range(6):
                proxy.drop_answer_to(b"COMMIT")
                pipeline.feed(*events(number))
                until(lambda lost=number: proxy.dropped > lost, "the proxy never saw a COMMIT")
                until(lambda: held(shared, "lost") == due(pipeline), "rows are missing")
        finally:
            query.terminate()
            ended(query)
        assert proxy.dropped >= 6
    assert held(shared, "lost") == due(pipeline)


def test_backends_that_are_ended_and_a_server_that_is_killed(own, tmp_path):
    pipeline = append(tmp_path / "p", own, "kept")
    query = pipeline.start()
    try:
        for number in range(9):
            pipeline.feed(*events(number))
            if number % 3 == 2:
                own.kill()
                own.start()
            else:
                own.psql(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'tidemill %'"
                )
        until(lambda: held(own, "kept") == due(pipeline), "rows are missing")
    finally:
        query.terminate()
        ended(query)
    assert held(own, "kept") == due(pipeline)


def test_the_program_is_killed_again_and_again(shared, tmp_path):
    pipeline = append(tmp_path / "p", shared, "killed")
    for number in range(6):
        query = pipeline.start()
        for _ in range(3):
            pipeline.feed(*events(pipeline.files))
        until(lambda before=60 * number: len(held(shared, "killed")) > before, "nothing was written")
        query.kill()
        query.communicate()
    pipeline.run()
    assert held(shared, "killed") == due(pipeline)


def test_a_deadlock_is_tried_again(own, tmp_path):
    totals = Pipeline(tmp_path / "p", COLUMNS, TOTALS, output_mode="update", **table(own, "locked", primary_key="user"))
    totals.feed(*events(0))
    totals.run()
    # another transaction has the last row and then wants the first, while ours has the first and wants the last
    other = subprocess.Popen(
        ["psql", "-X", "-q", "-h", "127.0.0.1", "-p", str(own.port), "-U", "postgres", "postgres"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    # ours looks for deadlocks first, so it is the one that is ended
    other.stdin.write("SET deadlock_timeout = '1min'; BEGIN; UPDATE locked SET n = n WHERE \"user\" = 'u6';\n")
    other.stdin.flush()
    until(lambda: own.psql("SELECT count(*) FROM pg_locks WHERE relation = 'locked'::regclass") != "0", "no lock")
    totals.feed(*events(1))
    query = totals.start("--trigger", "available-now")
    waiting = (
        "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'tidemill %' AND wait_event_type = 'Lock'"
    )
    until(lambda: own.psql(waiting) == "1", "ours does not wait")
    other.stdin.write("UPDATE locked SET n = n WHERE \"user\" = 'u0'; COMMIT;\n")
    other.stdin.close()
    other.wait(WAIT_SECONDS)
    told = ended(query)
    assert "40P01" in told or "deadlock detected" in own.log.read_text(), told
    assert own.psql("SELECT sum(n) FROM locked") == "40"


def test_a_process_that_was_replaced_writes_nothing(shared, tmp_path):
    pipeline = append(tmp_path / "p", shared, "fenced")
    query = pipeline.start()
    pipeline.feed(*events(0))
    until(lambda: held(shared, "fenced") == due(pipeline), "rows are missing")
    before = held(shared, "fenced")
    shared.psql("UPDATE tidemill_commit SET owner = 'another' WHERE epoch IS NOT NULL")
    pipeline.feed(*events(1))
    assert "taken over" in ended(query, 76)
    assert held(shared, "fenced") == before


def test_tls_is_verified_and_passwords_are_not_told(own, tmp_path):
    plain = append(tmp_path / "plain", own, "secret", sslmode="verify-full")
    plain.feed(*events(0))
    assert "sslmode" in plain.run(78)
    certificate(own)
    own.psql("ALTER SYSTEM SET ssl = on")
    own.psql("CREATE ROLE writer LOGIN PASSWORD 's3ntinel'")
    own.psql("GRANT ALL ON SCHEMA public TO writer; GRANT pg_signal_backend TO writer")
    hba = own.data / "pg_hba.conf"
    hba.write_text("host all writer 127.0.0.1/32 scram-sha-256\n" + hba.read_text())
    own.kill()
    own.start()
    tls = {"sslmode": "verify-full", "user": "writer"}
    unknown = append(tmp_path / "unknown", own, "secret", password="s3ntinel", **tls)
    unknown.feed(*events(0))
    assert "certificate" in unknown.run(77)
    tls["sslrootcert"] = str(own.home / "ca.pem")
    wrong = append(tmp_path / "wrong", own, "secret", password="s3ntinel-no", **tls)
    wrong.feed(*events(0))
    told = wrong.run(77)
    assert "28P01" in told and "s3ntinel" not in told, told
    right = append(tmp_path / "right", own, "secret", password="s3ntinel", **tls)
    right.feed(*events(0))
    right.run()
    assert held(own, "secret") == due(right)
    # an authority that did not make the certificate is refused, in both modes
    other = own.home / "other"
    other.mkdir()
    made = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=other -keyout ca.key -out ca.pem"
    subprocess.run(["openssl", *made.split()], cwd=other, check=True, capture_output=True)
    for mode in ("verify-full", "require"):
        options = tls | {"sslmode": mode, "sslrootcert": str(other / "ca.pem")}
        stranger = append(tmp_path / f"stranger-{mode}", own, "secret", password="s3ntinel", **options)
        stranger.feed(*events(1))
        assert "certificate" in stranger.run(77)
    assert held(own, "secret") == due(right)
    options = tls | {"sslmode": "require"}
    required = append(tmp_path / "required", own, "required", password="s3ntinel", **options)
    required.feed(*events(0))
    required.run()
    assert held(own, "required") == due(required)
    ours = "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename = 'writer'"
    query = required.start()
    until(lambda: own.psql(ours) == "t", "no connection of ours has TLS")
    query.terminate()
    ended(query)
