"""Files -> sliding window -> a Postgres table without a key, whose server is killed too; read back with psql.

Without a key, a row that is written twice is there twice.
"""

from collections import Counter
from pathlib import Path

import checkpoint
from fed import FedServer
from kinds.postgres import Server

TABLE = "connector = 'postgres', url = '{url}', sslmode = 'disable', table = '{{name}}', create_table = 'true'"
ROWS = """SELECT (extract(epoch FROM opened) * 1000)::bigint, (extract(epoch FROM closed) * 1000)::bigint, "user",
    events, sessions, total, largest, mean FROM {}"""


class FilesPostgres(FedServer):
    """The pipeline and its server."""

    name = "files-postgres"

    def __init__(self, folder: Path, seed: int, server: Server) -> None:
        super().__init__(folder, seed, server, TABLE.format(url=server.url))

    def situation(self) -> str:
        """What the next start has to recover from; what the server holds is not asked for."""
        letters = checkpoint.files_epoch(self.checkpoint / "dead_letters")
        return checkpoint.situation(checkpoint.read(self.checkpoint), [letters])

    def results(self, name: str) -> Counter[tuple]:
        """The rows of a table; none while it is not there."""
        rows = Counter()
        for line in self.server.psql(ROWS.format(name), check=False).splitlines():
            opened, closed, user, *numbers, mean = line.split("|")
            row = (int(opened), int(closed), None if user == "NULL" else user, *map(int, numbers), float(mean))
            rows[row] += 1
        return rows

    def inspect(self) -> list[str]:
        """How many rows, and how often the server was killed."""
        count = self.server.psql("SELECT count(*) FROM loop")
        return [f"table loop: {count} rows; the server was killed {self.server_kills} times"]
