"""A pipeline from a table of Postgres to files, what it has published, and what a table must be that these changes made.

Must not know what a test is about.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "services"))

from kinds.postgres import Server, as_user  # noqa: E402

TARGET = Path(os.environ.get("CARGO_TARGET_DIR") or Path.home() / ".cache/tidemill/target")
PROGRAM = Path(os.environ.get("TIDEMILL_PROGRAM") or TARGET / "debug" / "tidemill")
PGBENCH = Path("/usr/lib/postgresql/15/bin/pgbench")
WAIT_SECONDS = 60.0
POLL_SECONDS = 0.05
SQL = """
{settings}
CREATE TABLE changes {columns} WITH (connector = 'postgres_cdc', {options});
CREATE TABLE out WITH (connector = 'files', path = 'out', format = 'json');
INSERT INTO out {query};
"""
ACCOUNTS = "CREATE TABLE accounts (id int PRIMARY KEY, version bigint NOT NULL, note text)"
# every row counts its own changes, so that a lost or doubled one is seen
FEEDER = r"""
\set id random(1, 300)
\set other random(1, 300)
\set dice random(1, 10)
\if :dice <= 2
DELETE FROM accounts WHERE id = :id;
\elif :dice <= 4
BEGIN;
INSERT INTO accounts VALUES (least(:id, :other), 1, 'a') ON CONFLICT (id) DO UPDATE SET version = accounts.version + 1;
INSERT INTO accounts VALUES (greatest(:id, :other), 1, 'b')
    ON CONFLICT (id) DO UPDATE SET version = accounts.version + 1;
COMMIT;
\elif :dice <= 5
BEGIN;
INSERT INTO accounts VALUES (:id, 1, 'never') ON CONFLICT (id) DO UPDATE SET version = accounts.version + 1;
ROLLBACK;
\else
INSERT INTO accounts VALUES (:id, 1, 'c') ON CONFLICT (id) DO UPDATE SET version = accounts.version + 1, note = 'd';
\endif
"""


def until(holds, what: str, seconds: float = WAIT_SECONDS) -> None:
    """Waits for something that must come."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(POLL_SECONDS)


class Changes:
    """A query from one table to files, in a folder."""

    def __init__(
        self, folder: Path, server: Server, *, columns: str = "", query: str = "SELECT * FROM changes", **more
    ):
        folder.mkdir(parents=True, exist_ok=True)
        settings = "".join(f"SET {name} = '{value}';\n" for name, value in more.pop("settings", {}).items())
        given = {"url": server.url, "table": "accounts", "slot": "cdc", "sslmode": "disable"} | more
        options = ", ".join(f"{name} = '{value}'" for name, value in given.items())
        self.folder, self.server = folder, server
        self.file = folder / "cdc.sql"
        self.file.write_text(
            SQL.format(settings=settings, columns=columns, options=options, query=query), encoding="utf-8"
        )

    def start(self, *options: str, env: dict[str, str] | None = None) -> subprocess.Popen:
        """Starts the query; without options it runs until it is stopped. What it says goes to a file."""
        options = options or ("--trigger", "processing-time 5ms")
        command = [str(PROGRAM), "run", str(self.file), "--checkpoint", "ckpt", "--progress", "off", "--listen", "off"]
        with (self.folder / "told").open("ab") as told:
            environment = os.environ | (env or {})
            return subprocess.Popen([*command, *options], cwd=self.folder, stdout=told, stderr=told, env=environment)

    def run(self, code: int = 0, *options: str, env: dict[str, str] | None = None) -> str:
        """Runs the query over what is there; it must end with `code`. Gives what it said."""
        before = len(self.told())
        process = self.start(*(options or ("--trigger", "available-now")), env=env)
        try:
            process.wait(WAIT_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"the query did not end\n{self.told()}") from None
        told = self.told()[before:]
        assert process.returncode == code, f"exit code {process.returncode}\n{told}"
        return told

    def told(self) -> str:
        """All that the query has said."""
        path = self.folder / "told"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    def epochs(self) -> list[list[dict]]:
        """The rows of each epoch that has some, as the manifests publish them."""
        epochs = []
        for manifest in sorted((self.folder / "out" / "_tidemill" / "log").glob("*.json")):
            files = json.loads(manifest.read_text(encoding="utf-8"))["files"]
            lines = [
                line for file in files for line in (self.folder / "out" / file["name"]).read_text().splitlines() if line
            ]
            epochs.append([json.loads(line) for line in lines])
        return [rows for rows in epochs if rows]

    def rows(self) -> list[dict]:
        """All rows, in the order they were published."""
        return [row for rows in self.epochs() for row in rows]

    def table(self) -> dict[int, tuple]:
        """What the table holds."""
        lines = self.server.psql("SELECT id, version FROM accounts").splitlines()
        return dict(tuple(map(int, line.split("|"))) for line in lines)


def replayed(rows: list[dict]) -> dict[int, int]:
    """The table that the changes make; every one must fit the row as the one before it has left it."""
    table: dict[int, int] = {}
    last = (0, -1)
    for row in rows:
        operation, key, version = row["_op"], row["id"], row.get("version")
        if operation == "r":
            assert key not in table and last == (0, -1), f"copied twice or late: {row}"
            table[key] = version
            continue
        place = (row["_lsn"], row["_seq"])
        assert place > last, f"out of order after {last}: {row}"
        last = place
        if operation == "c":
            assert key not in table, f"made twice: {row}"
            table[key] = version
        elif operation == "u":
            assert table.get(key) == version - 1, f"{table.get(key)} before {row}"
            table[key] = version
        else:
            assert operation == "d" and key in table, f"not there: {row}"
            del table[key]
    return table


def feeder(server: Server, folder: Path, transactions: int, clients: int = 2, rate: int = 0) -> subprocess.Popen:
    """pgbench, which changes accounts at random; `rate` transactions a second, or as fast as it can."""
    script = folder / "feeder.pgbench"
    script.write_text(FEEDER, encoding="utf-8")
    paced = ["-R", str(rate)] if rate else []
    command = [str(PGBENCH), "-n", "-f", str(script), "-c", str(clients), "-t", str(transactions), *paced]
    address = ["-h", "127.0.0.1", "-p", str(server.port), "-U", "postgres", "postgres"]
    return subprocess.Popen([*command, *address], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def stop_in_good_order(server: Server, seconds: float) -> None:
    """`pg_ctl stop -m fast`, which waits for whoever reads a slot."""
    command = [*as_user(), "/usr/lib/postgresql/15/bin/pg_ctl", "stop", "-m", "fast", "-D", str(server.data)]
    subprocess.run([*command, "-t", str(int(seconds))], check=True, capture_output=True, timeout=seconds + 10)
    server.process.wait(seconds)
