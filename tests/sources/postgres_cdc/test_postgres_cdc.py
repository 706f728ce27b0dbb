"""The source `postgres_cdc` against a real server, with pgbench and psql as the writers of the table."""

import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from changes import ACCOUNTS, Changes, Server, feeder, replayed, stop_in_good_order, until
from harness import stop
from kinds.postgres import certificate
from postgres_kills import campaign

CANARY = "s3ntinel-cdc"


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A server that no test harms: each has tables and slots of its own."""
    settings = ["wal_level=logical", "max_replication_slots=30", "max_wal_senders=30"]
    server = Server(tmp_path_factory.mktemp("postgres"), *settings)
    yield server
    stop(server.process)


@pytest.fixture
def own(tmp_path):
    """A server of the test's own, with the table."""
    server = Server(tmp_path / "postgres", "wal_level=logical")
    server.psql(ACCOUNTS)
    yield server
    stop(server.process)


def slot(server: Server, name: str, what: str) -> str:
    """What the server says of a slot; empty when there is none."""
    return server.psql(f"SELECT {what} FROM pg_replication_slots WHERE slot_name = '{name}'")


def bare(row: dict, *without: str) -> dict:
    """A row without the columns that differ from run to run."""
    return {name: value for name, value in row.items() if name not in ("_lsn", "_xid", "_ts", *without)}


def test_rows_of_every_type_then_every_change(shared, tmp_path):
    shared.psql(
        "CREATE TYPE mood AS ENUM ('ok', 'bad'); CREATE DOMAIN cents AS int;"
        "CREATE TABLE typed (id bigint PRIMARY KEY, b boolean, s smallint, i int, f real, d double precision, n numeric(12,3),"
        " wide numeric, t text, v varchar(9), j jsonb, u uuid, m mood, c cents, raw bytea, day date, at timestamptz,"
        " wall timestamp, gap interval, list int[], names text[], made int GENERATED ALWAYS AS (1) STORED)"
    )
    row = (
        "true, -3, 7, 1.5, 'NaN', -12.340, 1e30, E'tab\\there\\\\N', 'zo\u00eb', '{\"a\": [1]}',"
        " '00000000-0000-0000-0000-000000000007', 'ok', 42, '\\x00ff', '2024-02-29', '2024-02-29 12:34:56.789+02',"
        " '2024-02-29 01:02:03', '1 day 2 hours', '{1,NULL,3}', '{a,\"b \\\"c\\\",\"}'"
    )
    shared.psql(f"INSERT INTO typed VALUES (1, {row})")
    changes = Changes(tmp_path / "typed", shared, table="public.typed", slot="typed")
    changes.run()
    shared.psql(f"INSERT INTO typed VALUES (2, {row})")
    shared.psql("UPDATE typed SET t = NULL, i = 8 WHERE id = 2")
    shared.psql("DELETE FROM typed WHERE id = 1")
    changes.run()
    read, made, updated, gone = changes.rows()
    expected = {
        "b": True,
        "s": -3,
        "i": 7,
        "f": 1.5,
        "d": "NaN",
        "n": -12.34,
        "wide": "1000000000000000000000000000000",
        "t": "tab\there\\N",
        "v": "zo\u00eb",
        "j": '{"a": [1]}',
        "u": "00000000-0000-0000-0000-000000000007",
        "m": "ok",
        "c": 42,
        "raw": "AP8=",
        "day": "2024-02-29",
        "at": "2024-02-29T10:34:56.789Z",
        "wall": "2024-02-29T01:02:03.000",
        "gap": "P1DT2H",
        "list": [1, None, 3],
        "names": ["a", 'b "c",'],
        "_unchanged": [],
    }
    assert bare(read) == {"id": 1, "_op": "r"} | expected
    assert bare(made) == {"id": 2, "_op": "c", "_seq": 0} | expected
    assert bare(updated) == bare(made, "t") | {"_op": "u", "i": 8}
    assert bare(gone) == {"id": 1, "_op": "d", "_seq": 0, "_unchanged": []}
    assert read["_lsn"] <= made["_lsn"] < updated["_lsn"] < gone["_lsn"] and "_xid" not in read
    assert slot(shared, "typed", "active") == "f"


def test_keys_that_change_truncate_and_the_row_before(shared, tmp_path):
    shared.psql("CREATE TABLE keyed (id int PRIMARY KEY, note text); INSERT INTO keyed VALUES (1, 'a')")
    columns = "(id INT, note STRING, _op STRING, _lsn BIGINT, _seq BIGINT, _before STRUCT<id: INT, note: STRING>)"
    changes = Changes(tmp_path / "keyed", shared, columns=columns, table="keyed", slot="keyed")
    changes.run()
    shared.psql("UPDATE keyed SET id = 2, note = 'b'")
    shared.psql("ALTER TABLE keyed REPLICA IDENTITY FULL; UPDATE keyed SET note = 'c'")
    shared.psql("UPDATE keyed SET id = 3; DELETE FROM keyed; INSERT INTO keyed VALUES (9, 'z')")
    shared.psql("TRUNCATE keyed")
    changes.run()
    rows = [(row["_op"], row.get("id"), row.get("note"), row.get("_before")) for row in changes.rows()]
    assert rows == [
        ("r", 1, "a", None),
        ("d", 1, None, {"id": 1}),
        ("c", 2, "b", None),
        ("u", 2, "c", {"id": 2, "note": "b"}),
        ("d", 2, "c", {"id": 2, "note": "c"}),
        ("c", 3, "c", None),
        ("d", 3, "c", {"id": 3, "note": "c"}),
        ("c", 9, "z", None),
        ("t", None, None, None),
    ]
    assert [row["_seq"] for row in changes.rows()[4:8]] == [0, 1, 2, 3], "one transaction, counted by rows"


def test_large_values_that_an_update_did_not_touch(shared, tmp_path):
    shared.psql("CREATE TABLE toasted (id int PRIMARY KEY, n int, big text)")
    shared.psql("ALTER TABLE toasted ALTER big SET STORAGE EXTERNAL")
    told = Changes(tmp_path / "told", shared, table="toasted", slot="toasted_told")
    blind = {"table": "toasted", "query": "SELECT id, n, big, _op FROM changes"}
    strict = Changes(tmp_path / "strict", shared, slot="toasted_strict", **blind)
    null = Changes(tmp_path / "null", shared, slot="toasted_null", unchanged_values="null", **blind)
    for changes in (told, strict, null):
        changes.run()
    shared.psql("INSERT INTO toasted VALUES (1, 1, repeat('x', 10000)); UPDATE toasted SET n = 2")
    told.run()
    made, updated = told.rows()
    assert (len(made["big"]), made["_unchanged"], updated.get("big"), updated["_unchanged"]) == (
        10000,
        [],
        None,
        ["big"],
    )
    said = strict.run(65)
    assert "'big' did not change" in said and "REPLICA IDENTITY FULL" in said, said
    null.run()
    assert [len(row.get("big", "")) for row in null.rows()] == [10000, 0]
    # with the whole old row the value is there, also for a query that tells nothing of what was not sent
    shared.psql("ALTER TABLE toasted REPLICA IDENTITY FULL; UPDATE toasted SET n = 3")
    null.run()
    assert [len(row.get("big", "")) for row in null.rows()] == [10000, 0, 10000]


def test_the_copy_is_handed_over_while_the_table_is_written(own, tmp_path):
    own.psql("INSERT INTO accounts SELECT i, 1, repeat('x', 900) FROM generate_series(1, 3000) i")
    feeding = feeder(own, tmp_path, transactions=1500)
    changes = Changes(tmp_path / "q", own, max_bytes_per_trigger="300KiB")
    query = changes.start()
    until(lambda: len(changes.rows()) > 3000 or query.poll() is not None, "no changes came")
    assert feeding.wait(60) == 0, feeding.stderr.read()
    until(lambda: replayed(changes.rows()) == changes.table(), f"the changes do not make the table\n{changes.told()}")
    query.terminate()
    assert query.wait(30) == 0, changes.told()
    operations = [row["_op"] for row in changes.rows()]
    assert set(operations) == {"r", "c", "u", "d"} and operations.count("r") >= 2500
    assert not (tmp_path / "q" / "snapshots" / "cdc").exists(), "the copy was not removed"
    # a start after the copy: nothing is read twice
    own.psql("UPDATE accounts SET version = version + 1 WHERE id = (SELECT min(id) FROM accounts)")
    changes.run()
    assert replayed(changes.rows()) == changes.table()


def test_kills_of_query_and_server(tmp_path):
    done = campaign(tmp_path, kills=10, seed=3)
    assert done["query"] > 3 and done["server"] > 0 and done["epochs"] > 20, done


def test_a_transaction_larger_than_an_epoch_comes_in_pieces(own, tmp_path):
    limits = {"max_bytes_per_trigger": "64KiB", "buffer_bytes": "256KiB"}
    changes = Changes(tmp_path / "q", own, **limits)
    changes.run()
    # two at a time: the one that commits last began first
    own.psql("INSERT INTO accounts SELECT i, 1, repeat('x', 50) FROM generate_series(1, 8000) i")
    own.psql("UPDATE accounts SET version = 2 WHERE id <= 10")
    query = changes.start()
    until(lambda: len(changes.rows()) > 500 or query.poll() is not None, "no rows came")
    query.kill()
    query.wait()
    behind = slot(own, "cdc", "confirmed_flush_lsn")
    changes.run()
    assert replayed(changes.rows()) == changes.table() and len(changes.rows()) == 8010
    sizes = [len(rows) for rows in changes.epochs()]
    assert max(sizes) < 1000 and len(sizes) > 10, sizes
    assert own.psql(f"SELECT '{slot(own, 'cdc', 'confirmed_flush_lsn')}'::pg_lsn >= '{behind}'::pg_lsn") == "t"


def test_a_slot_that_is_gone_or_ahead_stops_the_query_and_is_not_made_again(shared, tmp_path):
    shared.psql("CREATE TABLE gone (id int PRIMARY KEY)")
    changes = Changes(tmp_path / "q", shared, table="gone", slot="gone")
    changes.run()
    shared.psql("INSERT INTO gone VALUES (1)")
    changes.run()
    # somebody else reads the slot on
    shared.psql("INSERT INTO gone VALUES (2)")
    shared.psql("SELECT pg_replication_slot_advance('gone', pg_current_wal_lsn())")
    said = changes.run(65)
    assert "the changes between are gone" in said and "new checkpoint" in said, said
    shared.psql("SELECT pg_drop_replication_slot('gone')")
    said = changes.run(65)
    assert "slot 'gone' is gone" in said and "new checkpoint" in said, said
    assert slot(shared, "gone", "slot_name") == ""
    # under another name, the checkpoint's positions mean nothing
    renamed = Changes(tmp_path / "q", shared, table="gone", slot="other")
    assert "the checkpoint holds the position 'gone." in renamed.run(78)
    assert slot(shared, "other", "slot_name") == ""


def test_a_slot_of_somebody_else_is_not_taken_over(shared, tmp_path):
    shared.psql("CREATE TABLE taken (id int PRIMARY KEY); CREATE PUBLICATION taken FOR TABLE taken")
    shared.psql("INSERT INTO taken VALUES (1)")
    shared.psql("SELECT pg_create_logical_replication_slot('taken', 'pgoutput')")
    shared.psql("INSERT INTO taken VALUES (2)")
    refused = Changes(tmp_path / "refused", shared, table="taken", slot="taken")
    said = refused.run(78)
    assert "whose it is cannot be told" in said and "snapshot = 'never'" in said, said
    changes = Changes(tmp_path / "never", shared, table="taken", slot="taken", snapshot="never")
    changes.run()
    assert [(row["_op"], row["id"]) for row in changes.rows()] == [("c", 2)]
    shared.psql("SELECT pg_create_logical_replication_slot('decoding', 'test_decoding')")
    other = Changes(tmp_path / "other", shared, table="taken", slot="decoding", snapshot="never")
    assert "plugin 'test_decoding'" in other.run(78)


def test_log_that_the_server_has_removed_is_loss_and_not_silence(tmp_path):
    limits = ["max_slot_wal_keep_size=16MB", "min_wal_size=32MB", "max_wal_size=32MB"]
    server = Server(tmp_path / "postgres", "wal_level=logical", *limits)
    try:
        server.psql(ACCOUNTS + "; CREATE TABLE elsewhere (t text)")
        changes = Changes(tmp_path / "q", server)
        changes.run()
        server.psql("INSERT INTO accounts VALUES (1, 1, 'x')")
        server.psql("INSERT INTO elsewhere SELECT repeat(md5(i::text), 60) FROM generate_series(1, 40000) i")
        for _ in range(3):
            server.psql("SELECT pg_switch_wal()")
            server.psql("CHECKPOINT")
        assert slot(server, "cdc", "wal_status") == "lost"
        said = changes.run(65)
        assert "wal_status = lost" in said and "max_slot_wal_keep_size" in said, said
    finally:
        stop(server.process)


def test_an_idle_table_keeps_no_log_and_holds_no_server_up(own, tmp_path):
    own.psql("CREATE TABLE elsewhere (t text)")
    changes = Changes(tmp_path / "q", own, heartbeat_interval="100ms")
    query = changes.start()
    until(lambda: slot(own, "cdc", "active") == "t", f"nobody reads the slot\n{changes.told()}")
    before = slot(own, "cdc", "confirmed_flush_lsn")
    own.psql("INSERT INTO elsewhere SELECT repeat(md5(i::text), 60) FROM generate_series(1, 20000) i")
    moved = f"confirmed_flush_lsn - '{before}'::pg_lsn > 16 * 1024 * 1024"
    until(lambda: slot(own, "cdc", moved) == "t", f"the slot did not move\n{changes.told()}")
    assert changes.rows() == []
    # a server that is stopped waits for its readers: they must say that they have everything
    own.psql("INSERT INTO accounts VALUES (1, 1, 'x')")
    own.psql("INSERT INTO elsewhere VALUES ('x')")
    stop_in_good_order(own, 20)
    own.start()
    until(lambda: slot(own, "cdc", "active") == "t", f"the query did not come back\n{changes.told()}")
    own.psql("UPDATE accounts SET version = 2")
    until(lambda: len(changes.rows()) == 2, f"the change did not come\n{changes.told()}")
    query.terminate()
    assert query.wait(30) == 0, changes.told()
    assert replayed(changes.rows()) == {1: 2}


def test_a_table_that_changes_its_columns(shared, tmp_path):
    shared.psql("CREATE TABLE shaped (id int PRIMARY KEY, a int, b text); INSERT INTO shaped VALUES (1, 1, 'x')")
    query = "SELECT id, a, b, _op FROM changes"
    changes = Changes(tmp_path / "q", shared, table="shaped", slot="shaped", query=query)
    lax = Changes(tmp_path / "lax", shared, table="shaped", slot="shaped_lax", query=query, schema_change="ignore",
                  columns="(id INT, a INT, b STRING, _op STRING)")  # fmt: skip
    declared = "(id INT, a INT, b STRING, new STRING, _op STRING)"
    without = "SELECT id, a, b, _op, CAST(NULL AS STRING) AS new FROM changes"
    grown = Changes(tmp_path / "grown", shared, table="shaped", slot="shaped_grown", query=without)
    for one in (changes, lax, grown):
        one.run()
    shared.psql("INSERT INTO shaped VALUES (2, 2, 'x')")
    shared.psql("ALTER TABLE shaped ADD new text DEFAULT 'n'")
    shared.psql("INSERT INTO shaped VALUES (3, 3, 'x', 'y')")
    said = changes.run()
    assert "other columns from here on" in said and '["new"]' in said, said
    # a column that is declared later is NULL for changes from before it was there
    grown = Changes(tmp_path / "grown", shared, columns=declared, table="shaped", slot="shaped_grown",
                    query="SELECT id, a, b, _op, new FROM changes")  # fmt: skip
    grown.run()
    assert [row.get("new") for row in grown.rows()] == [None, None, "y"]
    shared.psql("ALTER TABLE shaped DROP b; INSERT INTO shaped VALUES (4, 4, 'y')")
    stopped = Changes(tmp_path / "q", shared, table="shaped", slot="shaped", query=query,
                      columns="(id INT, a INT, b STRING, _op STRING)")  # fmt: skip
    shared.psql("INSERT INTO shaped VALUES (5, 5, 'y')")
    said = stopped.run(65)
    assert "no column 'b' any more" in said and "schema_change" in said, said
    assert [row["id"] for row in stopped.rows()] == [1, 2, 3], "what was before the change came"
    lax.run()
    assert [(row["id"], row.get("b")) for row in lax.rows()] == [(1, "x"), (2, "x"), (3, "x"), (4, None), (5, None)]
    shared.psql("ALTER TABLE shaped ALTER a TYPE bigint; INSERT INTO shaped VALUES (6, 5000000000, 'y')")
    shared.psql("DELETE FROM shaped WHERE id = 4")
    narrow = Changes(tmp_path / "q", shared, columns="(id INT, a INT, _op STRING)", table="shaped", slot="shaped",
                     query="SELECT id, a, CAST(NULL AS STRING) AS b, _op FROM changes")  # fmt: skip
    said = narrow.run(65)
    assert "'a' of table public.shaped has another type" in said, said
    wide = Changes(tmp_path / "q", shared, columns="(id INT, a STRING, _op STRING)", table="shaped", slot="shaped",
                   query="SELECT id, CAST(a AS INT) AS a, CAST(NULL AS STRING) AS b, _op FROM changes WHERE id <> 6")  # fmt: skip
    wide.run()
    assert [(row["_op"], row["id"]) for row in wide.rows()[3:]] == [("c", 4), ("c", 5), ("d", 4)]


def test_what_stands_in_the_way_is_said_before_anything_is_made(shared, tmp_path):
    shared.psql(
        "CREATE TABLE keyless (id int); CREATE VIEW seen AS SELECT 1 AS id; CREATE TABLE plain (id int PRIMARY KEY, d date)"
    )

    def said(name: str, code: int = 78, **more: object) -> str:
        return Changes(tmp_path / name, shared, slot=name, **more).run(code)

    assert "no primary key" in said("keyless", table="keyless")
    assert shared.psql("SELECT count(*) FROM pg_publication WHERE pubname = 'keyless'") == "0"
    assert "no table" in said("missing", table="nowhere") and "no table whose changes" in said("seen", table="seen")
    told = said("nopub", table="plain", create_publication="false")
    assert 'CREATE PUBLICATION "nopub" FOR TABLE' in told, told
    assert "no column 'x'" in said("columns", table="plain", columns="(x INT)", query="SELECT x FROM changes")
    assert "smallint cannot hold" in said(
        "types", table="plain", columns="(id SMALLINT)", query="SELECT id FROM changes"
    )
    assert "takes no format" in said("form", table="plain", format="json")
    assert "is no name of a slot" in said("Upper", table="plain")
    assert (
        shared.psql("SELECT count(*) FROM pg_replication_slots WHERE slot_name IN ('columns', 'types', 'nopub')") == "0"
    )
    shared.psql("CREATE PUBLICATION elsewhere FOR TABLE keyless")
    assert "does not hold table" in said("elsewhere", table="plain")
    # a value that its type cannot hold
    bad = Changes(tmp_path / "bad", shared, table="plain", slot="bad")
    bad.run()
    shared.psql("INSERT INTO plain VALUES (1, 'infinity')")
    told = bad.run(65)
    assert "the value of column 'd' has no place in date" in told and "bad_values" in told, told
    lenient = Changes(tmp_path / "bad", shared, table="plain", slot="bad", bad_values="null")
    lenient.run()
    assert [bare(row, "_unchanged") for row in lenient.rows()] == [{"id": 1, "_op": "c", "_seq": 0}]


def test_a_server_without_logical_decoding_is_named(tmp_path):
    server = Server(tmp_path / "postgres")
    try:
        server.psql(ACCOUNTS)
        said = Changes(tmp_path / "q", server).run(78)
        assert "wal_level = replica" in said and "ALTER SYSTEM SET wal_level" in said, said
    finally:
        stop(server.process)


def test_least_rights_tls_and_a_password_that_is_not_told(own, tmp_path):
    certificate(own)
    own.psql("ALTER SYSTEM SET ssl = on")
    own.psql(f"CREATE ROLE reader LOGIN REPLICATION PASSWORD '{CANARY}'; CREATE PUBLICATION cdc FOR TABLE accounts")
    own.psql("INSERT INTO accounts VALUES (1, 1, 'x')")
    hba = own.data / "pg_hba.conf"
    hba.write_text("host all reader 127.0.0.1/32 scram-sha-256\n" + hba.read_text())
    own.kill()
    own.start()
    tls = {"sslmode": "verify-full", "user": "reader", "sslrootcert": str(own.home / "ca.pem")}
    wrong = Changes(tmp_path / "wrong", own, password="${PG_PASSWORD}", **tls)
    said = wrong.run(77, env={"PG_PASSWORD": CANARY + "-wrong"})
    assert "28P01" in said, said
    changes = Changes(tmp_path / "right", own, password="${PG_PASSWORD}", **tls)
    secret = {"PG_PASSWORD": CANARY}
    said = changes.run(77, env=secret)
    assert "permission denied for table accounts" in said, said
    # a start that failed after the slot was made begins anew
    own.psql("GRANT SELECT ON accounts TO reader")
    changes.run(env=secret)
    own.psql("UPDATE accounts SET version = 2")
    query = changes.start(env=secret)
    ours = "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_replication USING (pid) WHERE usename = 'reader'"
    until(lambda: own.psql(ours) == "t", f"no connection of ours has TLS\n{changes.told()}")
    until(lambda: replayed(changes.rows()) == {1: 2}, "the change did not come")
    query.terminate()
    assert query.wait(30) == 0, changes.told()
    for file in tmp_path.rglob("*"):
        # the server's own files hold what it was told
        if file.is_file() and "postgres" not in file.parts:
            assert CANARY.encode() not in file.read_bytes(), f"the password is in {file}"
    unknown = Changes(tmp_path / "unknown", own, password="x", **(tls | {"sslrootcert": str(cert_of_nobody(tmp_path))}))
    assert "certificate" in unknown.run(77)


def cert_of_nobody(folder: Path) -> Path:
    """An authority that made no certificate."""
    made = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=other -keyout other.key -out other.pem"
    subprocess.run(["openssl", *made.split()], cwd=folder, check=True, capture_output=True)
    return folder / "other.pem"
