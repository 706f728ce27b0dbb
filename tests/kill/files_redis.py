"""Files -> sliding window -> a stream in Redis, whose server is killed too; read back with redis-cli.

A stream shows what a hash would hide: a row that is written twice is there twice.
"""

import json
import subprocess
from collections import Counter
from datetime import datetime
from pathlib import Path

import checkpoint
import events
from fed import FedServer
from kinds.redis import Node
from life import Failed

TABLE = "connector = 'redis', url = 'redis://127.0.0.1:{port}', key = '{{name}}', shape = 'stream', script_rows = 3"


class FilesRedis(FedServer):
    """The pipeline and its server."""

    name = "files-redis"

    def __init__(self, folder: Path, seed: int, node: Node) -> None:
        super().__init__(folder, seed, node, TABLE.format(port=node.port))

    def situation(self) -> str:
        """What the next start has to recover from."""
        fields = self.ask("HGETALL", "tidemill:{loop/results}")
        epochs = [int(epoch) for field, epoch in fields.items() if field != "owner" and "/" not in field]
        letters = checkpoint.files_epoch(self.checkpoint / "dead_letters")
        return checkpoint.situation(checkpoint.read(self.checkpoint), [*epochs, letters])

    def ask(self, *command: str):
        """What the server answers, as redis-cli gives it in JSON."""
        asked = ["redis-cli", "-3", "--json", "-p", str(self.server.port), *command]
        return json.loads(subprocess.run(asked, capture_output=True, check=True).stdout)

    def results(self, name: str) -> Counter[tuple]:
        """The entries of a stream as rows."""
        rows = Counter()
        for _, words in self.ask("XRANGE", name, "-", "+"):
            row = dict(zip(words[::2], words[1::2], strict=True))
            times = [round(datetime.fromisoformat(row[column]).timestamp() * 1000) for column in ("opened", "closed")]
            numbers = [number(row.get(column)) for column in events.COLUMNS[3:]]
            rows[(*times, row.get("user"), *numbers)] += 1
        return rows

    def inspect(self) -> list[str]:
        """The ids of the entries rise, and none was used twice."""
        ids = [tuple(map(int, entry.split("-"))) for entry, _ in self.ask("XRANGE", "loop", "-", "+")]
        if ids != sorted(set(ids)):
            raise Failed("the ids of the stream do not rise")
        return [f"stream loop: {len(ids)} entries; the server was killed {self.server_kills} times"]


def number(text: str | None) -> int | float | None:
    """A number from its text."""
    if text is None:
        return None
    return float(text) if "." in text or "E" in text else int(text)
