"""A Postgres that fails while the pipeline writes to it; every row must be there once, as psql reads it.

{"postgres": "server-killed"}       the server dies again and again, and recovers from its own log
{"postgres": "backends-ended"}      the connection is ended in the middle of a transaction
{"postgres": "commit-unanswered"}   the connection is ended while COMMIT, which is done, waits for a standby
{"postgres": "answers-lost"}        the server gets COMMIT, its answer is lost
{"postgres": "deadlock"}            a foreign session has the table and wants the marker
{"postgres": "read-only"}           the server takes no writes for a while, as a standby after a failover
"""

import contextlib
import subprocess
import time

from cycle import Program
from files_postgres import FilesPostgres, Server
from harness import stop
from life import Failed
from proxy import Proxy
from scene import SECONDS_MAX, Scene, drained
from validator import compare

KINDS = ("postgres",)
TIMES = 5
OURS = "FROM pg_stat_activity WHERE application_name LIKE 'tidemill %'"


def run(scene: Scene, _kind: str, what: str) -> str:
    """A life in which the fault comes several times, and an undisturbed one after it."""
    folder = scene.folder / "postgres"
    folder.mkdir()
    with contextlib.ExitStack() as cleanup:
        server = Server(folder / "server")
        cleanup.callback(lambda: stop(server.process))
        pipeline = FilesPostgres(folder, 7, server)
        pipeline.kill_server = lambda: None
        proxy = cleanup.enter_context(Proxy(server.port))
        sql = folder / "loop.sql"
        sql.write_text(sql.read_text("utf-8").replace(f":{server.port}/", f":{proxy.port}/"), "utf-8")
        program = Program(scene.program.command[0], folder, scene.wanted.get("settings", []), pipeline.feed)
        life = program.start("--trigger", "processing-time 2ms")
        try:
            before = 0
            for _ in range(TIMES):
                grown(pipeline, life, before)
                FAULTS[what](pipeline, server, proxy)
                # what came until now says nothing of whether the program goes on
                before = max(before, rows_now(pipeline))
            grown(pipeline, life, before)
        except Failed as failed:
            raise Failed(f"{failed}\n{program.told()}") from None
        finally:
            code = drained(life)
        if code:
            raise Failed(f"the program ended with code {code}\n{program.told()}")
        program.finish(SECONDS_MAX)
        wrong = compare(pipeline.oracle.rows(), pipeline.results("loop"))
        wrong += compare(pipeline.oracle.bad, pipeline.letters("loop"))
        if wrong:
            raise Failed("\n".join(wrong))
        return f"{TIMES} times; {pipeline.results('loop').total()} rows, each once"


def until(holds, why: str):
    """What `holds` gives once it gives something."""
    deadline = time.monotonic() + SECONDS_MAX
    while not (found := holds()):
        if time.monotonic() > deadline:
            raise Failed(why)
        time.sleep(0.002)
    return found


def rows_now(pipeline: FilesPostgres) -> int:
    """How many rows there are; 0 while the server cannot be asked."""
    told = pipeline.server.psql("SELECT count(*) FROM loop", check=False)
    return int(told) if told.isdigit() else 0


def grown(pipeline: FilesPostgres, life: subprocess.Popen, before: int) -> None:
    """More input, until rows that were not there before are."""

    def came() -> bool:
        if life.poll() is not None:
            raise Failed(f"the program ended with code {life.returncode}")
        return rows_now(pipeline) > before

    for _ in range(3):
        pipeline.feed()
    until(came, "the table does not grow any more")


def set_option(server: Server, option: str) -> None:
    """Changes a setting of the running server."""
    server.psql(f"ALTER SYSTEM {option}")
    server.psql("SELECT pg_reload_conf()")


def server_killed(_pipeline: FilesPostgres, server: Server, _proxy: Proxy) -> None:
    """It dies at once."""
    server.kill()
    server.start()


def holding(server: Server, statement: str) -> subprocess.Popen:
    """A session that has run `statement` in a transaction and keeps it open."""
    address = ["-h", "127.0.0.1", "-p", str(server.port), "-U", "postgres", "postgres"]
    session = subprocess.Popen(
        ["psql", "-X", "-q", "-A", "-t", *address], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    session.stdin.write(f"SET deadlock_timeout = '1min'; BEGIN; {statement}; SELECT 'held';\n")
    session.stdin.flush()
    if "held" not in session.stdout.readline():
        raise Failed(f"the foreign session cannot do: {statement}")
    return session


def let_go(session: subprocess.Popen, statement: str = "") -> None:
    """The session does one more thing and ends."""
    session.stdin.write(f"{statement}; COMMIT;\n")
    session.stdin.close()
    session.wait(SECONDS_MAX)


def backends_ended(pipeline: FilesPostgres, server: Server, _proxy: Proxy) -> None:
    """Our transaction waits for a foreign lock when its connection is ended."""
    session = holding(server, "LOCK TABLE loop IN EXCLUSIVE MODE")
    pipeline.feed()
    end = f"SELECT count(pg_terminate_backend(pid)) {OURS} AND wait_event_type = 'Lock'"
    until(lambda: server.psql(end) != "0", "our transaction never waited for the lock")
    let_go(session)


def commit_unanswered(pipeline: FilesPostgres, server: Server, _proxy: Proxy) -> None:
    """What was committed waits for a standby that is not there, and never hears that it was."""
    set_option(server, "SET synchronous_standby_names = 'nobody'")
    try:
        pipeline.feed()
        end = f"SELECT count(pg_terminate_backend(pid)) {OURS} AND wait_event = 'SyncRep'"
        until(lambda: server.psql(end) != "0", "no COMMIT ever waited for the standby")
    finally:
        # waits for nobody itself
        server.psql("SET synchronous_commit = local; SELECT 1")
        set_option(server, "RESET synchronous_standby_names")


def answers_lost(pipeline: FilesPostgres, _server: Server, proxy: Proxy) -> None:
    """The network fails at the worst moment."""
    lost = proxy.dropped
    proxy.drop_answer_to(b"COMMIT")
    pipeline.feed()
    until(lambda: proxy.dropped > lost, "the proxy never saw a COMMIT")


def deadlock(pipeline: FilesPostgres, server: Server, _proxy: Proxy) -> None:
    """Ours has the marker's row and wants the table; the other has the table and wants the row."""
    known = server.log.read_text("utf-8", errors="replace").count("deadlock detected")
    session = holding(server, "LOCK TABLE loop IN EXCLUSIVE MODE")
    pipeline.feed()
    waits = f"SELECT count(*) {OURS} AND wait_event_type = 'Lock'"
    until(lambda: server.psql(waits) != "0", "our transaction never waited for the lock")
    let_go(session, "UPDATE tidemill_commit SET committed_at = committed_at")
    until(
        lambda: server.log.read_text("utf-8", errors="replace").count("deadlock detected") > known,
        "the server never saw a deadlock",
    )


def read_only(pipeline: FilesPostgres, server: Server, _proxy: Proxy) -> None:
    """Every transaction is read-only until ours has been refused."""
    refusals = "in a read-only transaction"
    known = server.log.read_text("utf-8", errors="replace").count(refusals)
    set_option(server, "SET default_transaction_read_only = on")
    pipeline.feed()
    until(
        lambda: server.log.read_text("utf-8", errors="replace").count(refusals) > known,
        "no write of ours was ever refused",
    )
    set_option(server, "RESET default_transaction_read_only")


FAULTS = {
    "server-killed": server_killed,
    "backends-ended": backends_ended,
    "commit-unanswered": commit_unanswered,
    "answers-lost": answers_lost,
    "deadlock": deadlock,
    "read-only": read_only,
}
