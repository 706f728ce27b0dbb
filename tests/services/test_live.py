"""The sink `live`: psql, psycopg and SQLAlchemy read the current rows, whole epochs only, also after a crash."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import ClassVar

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from harness import free_port
from live_reader import clients_python
from pipeline import PROGRAM, Pipeline, ended

HERE = Path(__file__).parent
COLUMNS = "id BIGINT, user STRING, amount BIGINT"
TOTALS = "SELECT user, count(*) AS n, sum(amount) AS total FROM events GROUP BY user"
WAIT_SECONDS = 30.0
ROWS = 20


class Live(Pipeline):
    """A query into a live table, and who reads it."""

    running: ClassVar[list[subprocess.Popen]] = []

    def __init__(self, folder: Path, query: str, **table: object) -> None:
        self.port = free_port()
        given = {"connector": "live", "listen": f"127.0.0.1:{self.port}"}
        super().__init__(folder, COLUMNS, query, **(given | table))

    def start(self, *options: str) -> subprocess.Popen:
        """As the pipeline does; it does not outlive the test."""
        self.running.append(super().start(*options))
        return self.running[-1]

    def psql(self, *statements: str, check: bool = True, **env: str) -> str:
        """What psql prints, a row a line."""
        command = ["psql", "-X", "-A", "-t", "-q", "-P", "null=NULL", "-v", "ON_ERROR_STOP=1"]
        for statement in statements:
            command += ["-c", statement]
        address = ["-h", "127.0.0.1", "-p", str(self.port), "-U", env.pop("user", "me"), "tidemill"]
        done = subprocess.run(
            [*command, *address], capture_output=True, text=True, check=False, timeout=30, env=os.environ | env
        )
        assert not check or done.returncode == 0, done.stderr
        return (done.stdout + done.stderr).strip()

    def feed_numbered(self) -> None:
        """One more file; after n files there are 20 n rows, and the sum over all of `total` is that of 0 to 20 n - 1."""
        first = self.files * ROWS
        self.feed(*({"id": at, "user": f"u{at % 7}", "amount": at} for at in range(first, first + ROWS)))

    def until(self, statement: str, expected: str) -> None:
        """Waits for an answer that must come."""
        deadline = time.monotonic() + WAIT_SECONDS
        while (got := self.psql(statement, check=False)) != expected:
            assert time.monotonic() < deadline, f"{statement} gives {got}, not {expected}"
            time.sleep(0.05)


def reader(port: int, ask: str, *arguments: str) -> subprocess.Popen:
    """A client in Python: see live_reader.py."""
    command = [str(clients_python()), str(HERE / "live_reader.py"), ask, str(port), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def told(client: subprocess.Popen) -> dict:
    """What it found."""
    out, err = client.communicate(timeout=60)
    assert client.returncode == 0, err
    return json.loads(out.splitlines()[-1])


@pytest.fixture(autouse=True)
def nothing_outlives_a_test():
    """A test that failed leaves its queries running."""
    yield
    while Live.running:
        query = Live.running.pop()
        query.kill()
        query.communicate()


@pytest.fixture
def totals(tmp_path):
    """Totals by user, kept on disk, after two epochs; running."""
    live = Live(tmp_path / "p", TOTALS, output_mode="update", primary_key="user", path="kept", table="totals")
    live.feed_numbered()
    live.feed_numbered()
    query = live.start()
    live.until("SELECT sum(n) FROM totals", "40")
    yield live
    query.terminate()
    ended(query)


def test_psql_lists_describes_and_reads(totals):
    assert totals.psql("\\dt") == "public|totals|table|me"
    assert totals.psql("\\d totals") == "user|text|||\nn|bigint|||\ntotal|bigint|||"
    for command in ("\\d", "\\d+", "\\d+ totals", "\\l", "\\dn+", "\\du", "\\df", "\\dv", "\\di", "\\dT", "\\dx"):
        totals.psql(command)
    assert totals.psql("SELECT version()").startswith("PostgreSQL 15.0 (Tidemill ")
    again = 'SELECT "user", n, total FROM totals WHERE n > 5 ORDER BY total DESC LIMIT 1'
    assert totals.psql(again) == "u4|6|129"
    joined = 'SELECT count(*) FROM totals a JOIN totals b ON a.n = b.n AND a."user" < b."user"'
    assert totals.psql(joined) == "11"
    assert totals.psql("SELECT table_name, output_mode, rows FROM tidemill.live_tables") == "totals|update|7"
    assert totals.psql("SHOW server_version", "SET application_name = 'x'", "SHOW application_name") == "15.0\nx"


def test_what_cannot_be_done_is_said_with_its_sqlstate(totals):
    for statement, state in (
        ("INSERT INTO totals VALUES ('a', 1, 1)", "25006"),
        ("DROP TABLE totals", "25006"),
        ("CREATE TABLE t AS SELECT 1", "25006"),
        ("COPY totals TO '/dev/shm/stolen'", "0A000"),
        ("CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'", "42601"),
        ("SELECT * FROM '/etc/passwd'", "42"),
        ("SELECT nope FROM totals", "42703"),
        ("SELECT * FROM nope", "42P01"),
        ("SELEC 1", "42601"),
        ("SELECT 1 / 0", "22"),
    ):
        said = totals.psql("\\set VERBOSITY verbose", statement, check=False)
        assert f"ERROR:  {state}" in said, said
    # a transaction that failed says so until it ends
    said = totals.psql("BEGIN; SELECT nope FROM totals", check=False)
    assert "nope" in said, said


def test_psycopg_and_sqlalchemy_read_every_type(tmp_path):
    query = """SELECT CAST(id AS SMALLINT) AS s, CAST(id AS INT) AS i, id, CAST(-1.5 AS FLOAT) AS f, CAST(2.25 AS DOUBLE) AS d,
        CAST(-12345.678 AS DECIMAL(20,5)) AS dec, true AS b, user, CAST(user AS BINARY) AS raw, DATE '1999-12-31' AS day,
        TIMESTAMP '2024-02-29 12:34:56.789012' AS at, CAST('2024-02-29 01:02:03' AS TIMESTAMP_NTZ) AS wall,
        array(1, CAST(NULL AS INT), 3) AS list, array(user, 'x,"y') AS names, named_struct('a', id, 'b', user) AS pair,
        map('k', amount) AS attributes, amount AS nothing FROM events"""
    live = Live(tmp_path / "p", query, table="types")
    live.feed({"id": 7, "user": "zo\u00eb"})
    running = live.start()
    live.until("SELECT count(*) FROM types", "1")
    found = told(reader(live.port, "types"))
    running.terminate()
    ended(running)
    expected = {
        "s": 7, "i": 7, "id": 7, "f": -1.5, "d": 2.25, "dec": "-12345.67800", "b": True, "user": "zo\u00eb",
        "raw": "b'zo\\xc3\\xab'", "day": "1999-12-31", "at": "2024-02-29 12:34:56.789012+00:00",
        "wall": "2024-02-29 01:02:03", "list": [1, None, 3], "names": ["zo\u00eb", 'x,"y'],
        "pair": {"a": 7, "b": "zo\u00eb"}, "attributes": {"k": None}, "nothing": None,
    }  # fmt: skip
    assert found["text"] == [expected] and found["binary"] == [expected]
    assert found["schema"]["dec"] == "NUMERIC(20, 5)" and found["schema"]["at"] == "TIMESTAMP"
    assert found["tables"] == ["types"]


def test_parameters_and_what_dashboards_ask(totals):
    found = told(reader(totals.port, "parameters"))
    assert found == dict.fromkeys(found, True), found
    found = told(reader(totals.port, "dashboards"))
    assert found["failed"] == {}, found["failed"]
    assert "totals" in found["grafana_tables"]


@pytest.mark.parametrize("mode", ["append", "update", "complete"])
def test_a_reader_never_sees_part_of_an_epoch(tmp_path, mode):
    """Each epoch adds 20 rows whose amounts are known: whatever is seen must be a multiple."""
    asked = {"append": "SELECT id, amount FROM events", "update": TOTALS, "complete": TOTALS}[mode]
    more = {"primary_key": "user"} if mode == "update" else {}
    live = Live(tmp_path / "p", asked, output_mode=mode, table="seen", **more)
    live.feed_numbered()
    running = live.start()
    sums = "count(*), sum(amount)" if mode == "append" else "sum(n), sum(total)"
    live.until(f"SELECT {sums.split(',')[0]} FROM seen", "20")
    client = reader(live.port, "watch", f"SELECT {sums} FROM seen a", str(40 * ROWS))
    assert client.stdout.readline() == "ready\n"
    for _ in range(3):
        for _ in range(13):
            live.feed_numbered()
        live.until(f"SELECT {sums.split(',')[0]} FROM seen", str(live.files * ROWS))
    found = told(client)
    running.terminate()
    ended(running)
    assert len(found["seen"]) >= 3, found
    for rows, total in found["seen"]:
        assert rows % ROWS == 0 and total == rows * (rows - 1) // 2, found


def test_killed_again_and_again_it_holds_every_epoch_once(tmp_path):
    live = Live(tmp_path / "p", TOTALS, output_mode="update", primary_key="user", path="kept", table="totals")
    rows = Live(tmp_path / "r", "SELECT id FROM events", path="kept", table="ids")
    for number in range(5):
        for pipeline, asked in ((live, "SELECT sum(n) FROM totals"), (rows, "SELECT count(*) FROM ids")):
            query = pipeline.start()
            for _ in range(3):
                pipeline.feed_numbered()
            before = 3 * ROWS * number
            deadline = time.monotonic() + WAIT_SECONDS
            while not (got := pipeline.psql(asked, check=False)).isdigit() or int(got) <= before:
                assert time.monotonic() < deadline, got
            query.kill()
            query.communicate()
    for pipeline in (live, rows):
        pipeline.feed_numbered()
    due = 16 * ROWS
    first, second = live.start(), rows.start()
    live.until("SELECT sum(n), sum(total), count(*) FROM totals", f"{due}|{due * (due - 1) // 2}|7")
    rows.until("SELECT count(*), count(DISTINCT id), max(id) FROM ids", f"{due}|{due}|{due - 1}")
    for query in (first, second):
        query.terminate()
        ended(query)


def test_in_memory_it_begins_empty_and_says_so(tmp_path):
    live = Live(tmp_path / "p", TOTALS, output_mode="complete", table="totals")
    live.feed_numbered()
    live.run()
    query = live.start()
    live.until("SELECT count(*) FROM totals", "0")
    live.feed_numbered()
    live.until("SELECT sum(n) FROM totals", "40")
    query.terminate()
    ended(query)
    told = subprocess.run(
        [str(PROGRAM), "explain", str(live.sql)], cwd=live.folder, capture_output=True, text=True, check=True
    )
    assert "no guarantee" in told.stdout, told.stdout


def test_the_oldest_rows_go_and_old_times_too(tmp_path):
    newest = Live(tmp_path / "n", "SELECT id FROM events", max_rows=30, path="kept", table="newest")
    for _ in range(4):
        newest.feed_numbered()
    query = newest.start()
    newest.until("SELECT count(*), min(id), max(id) FROM newest", "30|50|79")
    query.terminate()
    ended(query)
    full = Live(tmp_path / "f", TOTALS, output_mode="update", primary_key="user", max_rows=5, table="full")
    full.feed_numbered()
    assert "max_rows = 5" in full.run(65)


def test_passwords_are_checked_and_tls_is_offered(tmp_path):
    certificate = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    certificate += ["-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost", "-keyout", "live.key", "-out", "live.pem"]
    subprocess.run(["openssl", *certificate], cwd=tmp_path, check=True, capture_output=True)
    files = {"ssl_cert_file": tmp_path / "live.pem", "ssl_key_file": tmp_path / "live.key"}
    live = Live(tmp_path / "p", TOTALS, output_mode="complete", table="totals", user="me", password="s3ntinel", **files)
    live.feed_numbered()
    query = live.start()
    right = {"PGPASSWORD": "s3ntinel", "PGSSLMODE": "verify-full", "PGSSLROOTCERT": str(tmp_path / "live.pem")}
    deadline = time.monotonic() + WAIT_SECONDS
    while live.psql("SELECT sum(n) FROM totals", check=False, **right) != "20":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert "TLS" in live.psql("\\conninfo", **right) or "SSL" in live.psql("\\conninfo", **right)
    assert live.psql("SELECT 1", PGPASSWORD="s3ntinel", PGSSLMODE="disable") == "1"
    for wrong in ({"PGPASSWORD": "other"}, {"PGPASSWORD": "s3ntinel", "user": "you"}, {"PGPASSWORD": ""}):
        said = live.psql("SELECT 1", check=False, **wrong)
        assert "s3ntinel" not in said and "password" in said.lower(), said
    query.terminate()
    assert "s3ntinel" not in ended(query)
    open_to_all = Live(tmp_path / "o", TOTALS, output_mode="complete", listen="0.0.0.0:1")
    open_to_all.feed_numbered()
    assert "password" in open_to_all.run(78)


def test_two_tables_share_an_address_and_a_taken_one_is_named(tmp_path):
    live = Live(tmp_path / "p", TOTALS, output_mode="complete", table="totals")
    second = f"CREATE TABLE ids WITH (connector = 'live', listen = '127.0.0.1:{live.port}');\nINSERT INTO ids SELECT id FROM events;\n"
    live.sql.write_text(live.sql.read_text() + second)
    live.feed_numbered()
    query = live.start()
    live.until("SELECT (SELECT count(*) FROM ids), (SELECT sum(n) FROM totals)", "20|20")
    assert live.psql("\\dt") == "public|ids|table|me\npublic|totals|table|me"
    other = Live(tmp_path / "o", TOTALS, output_mode="complete", listen=f"127.0.0.1:{live.port}")
    other.feed_numbered()
    assert f"127.0.0.1:{live.port}" in other.run(74)
    query.terminate()
    ended(query)


def test_many_clients_at_once_are_bounded(tmp_path):
    live = Live(tmp_path / "p", TOTALS, output_mode="complete", table="totals", max_connections=3)
    live.feed_numbered()
    query = live.start()
    live.until("SELECT sum(n) FROM totals", "20")
    found = told(reader(live.port, "crowd", "8"))
    query.terminate()
    ended(query)
    assert found["served"] == 3 and all("too many clients" in why for why in found["refused"]), found
    assert len(found["refused"]) == 5, found
