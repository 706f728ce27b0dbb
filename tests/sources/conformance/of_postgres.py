"""Changes of a Postgres table, by a user who needs a password."""

import json
from pathlib import Path

from harness import stop
from kinds.postgres import Server
from place import Place, Start, Subject

SECRET = "s3ntinel-of-the-table"


def pad(row: dict) -> str:
    """The padding of a record, all of one letter, as the server makes it."""
    return f"repeat('{row['pad'][0]}', {len(row['pad'])})" if "pad" in row else "NULL"


class Table(Place):
    """A table that rows are inserted into, and its slot."""

    columns = ""
    frugal = {"buffer_bytes": "4MiB"}
    secrets = (SECRET,)

    def __init__(self, server: Server, name: str) -> None:
        self.server, self.name = server, name
        server.psql(
            f'CREATE TABLE {name} (lane bigint, number bigint, "check" bigint, pad text, PRIMARY KEY (lane, number));'
            f"GRANT SELECT ON {name} TO reader; CREATE PUBLICATION {name} FOR TABLE {name}"
        )
        self.options = {
            "connector": "postgres_cdc",
            "url": server.url,
            "table": name,
            "slot": name,
            "publication": name,
            "sslmode": "disable",
            "user": "reader",
            "password": SECRET,
        }

    def feed(self, texts: list[str]) -> None:
        rows = [json.loads(text) for text in texts]
        values = ", ".join(f"({row['lane']}, {row['number']}, {row['check']}, {pad(row)})" for row in rows)
        self.server.psql(f"INSERT INTO {self.name} VALUES {values}")

    def starts(self) -> dict[str, Start]:
        return {"initial": Start({}, True), "never": Start({"snapshot": "never"}, False)}

    def acknowledged(self) -> bool | None:
        told = f"SELECT confirmed_flush_lsn >= pg_current_wal_lsn() FROM pg_replication_slots WHERE slot_name = '{self.name}'"
        return self.server.psql(told) == "t"


class PostgresCdc(Subject):
    """The server."""

    name = "postgres_cdc"

    def __init__(self, folder: Path) -> None:
        self.server = Server(folder, "wal_level=logical", "max_replication_slots=60", "max_wal_senders=60")
        self.server.psql(f"CREATE ROLE reader LOGIN REPLICATION PASSWORD '{SECRET}'")
        hba = self.server.data / "pg_hba.conf"
        hba.write_text("host all reader 127.0.0.1/32 scram-sha-256\n" + hba.read_text())
        self.server.psql("SELECT pg_reload_conf()")

    def place(self, name: str) -> Place:
        return Table(self.server, name)

    def close(self) -> None:
        stop(self.server.process)
