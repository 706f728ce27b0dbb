"""Files -> sliding window -> a stream in Redis, whose server is killed too; read back with redis-cli.

A stream shows what a hash would hide: a row that is written twice is there twice.
"""

import json
import subprocess
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path

import aims
import checkpoint
import events
import outputs
from kinds.redis import Node
from life import Failed

DELAY = timedelta(minutes=2)
PREFED = 30
# every so many portions of input the server is killed and started again
SERVER_KILL_PORTIONS = 25
SQL = """
SET snapshot_bytes = 24KiB;
SET epochs_retained = 5;
CREATE TABLE events (user STRING, session STRING, ts TIMESTAMP, amount INT,
                     WATERMARK FOR ts AS ts - INTERVAL '2 minutes')
    WITH (connector = 'files', path = 'in', format = 'json', maxFilesPerTrigger = {files});
CREATE TABLE results
    WITH (connector = 'redis', url = 'redis://127.0.0.1:{port}', key = '{name}', shape = 'stream', script_rows = 3);
INSERT INTO results
SELECT window.start AS opened, window.end AS closed, user, count(*) AS events, count(DISTINCT session) AS sessions,
       sum(amount) AS total, max(amount) AS largest, avg(amount) AS mean
FROM events GROUP BY window(ts, '5 minutes', '1 minute'), user;
"""


class FilesRedis:
    """The pipeline, its server, and its dead letters, which are Parquet files in the checkpoint."""

    name = "files-redis"
    aims = aims.GENERAL
    query = "loop"
    last_runs = 1

    def __init__(self, folder: Path, seed: int, node: Node) -> None:
        self.folder = folder
        self.checkpoint = folder / "loop.ckpt"
        self.seed = seed
        self.node = node
        self.fed = 0
        self.server_kills = 0
        self.oracle = events.Oracle(DELAY)
        (folder / "in").mkdir()
        for name, files in (("loop", 1), ("undisturbed", 10)):
            sql = SQL.format(files=files, port=node.port, name=name)
            (folder / f"{name}.sql").write_text(sql, encoding="utf-8")
        for _ in range(PREFED):
            self.feed()

    def feed(self) -> None:
        """One more file of input, which appears whole; now and then the server is killed."""
        portion = events.portion(self.seed, self.fed)
        fresh = self.folder / "in" / ".fresh"
        fresh.write_bytes(b"".join(line + b"\n" for line in portion.lines))
        fresh.rename(self.folder / "in" / f"{self.fed:06}.json")
        self.oracle.add(portion)
        self.fed += 1
        if self.fed > PREFED and self.fed % SERVER_KILL_PORTIONS == 0:
            self.node.kill()
            self.node.start()
            self.server_kills += 1

    def directories(self) -> dict[str, Path]:
        """Nothing but the checkpoint can be watched."""
        return {}

    def situation(self) -> str:
        """What the next start has to recover from."""
        fields = self.ask("HGETALL", "tidemill:{loop/results}")
        epochs = [int(epoch) for field, epoch in fields.items() if field != "owner" and "/" not in field]
        letters = checkpoint.files_epoch(self.checkpoint / "dead_letters")
        return checkpoint.situation(checkpoint.read(self.checkpoint), [*epochs, letters])

    def ask(self, *command: str):
        """What the server answers, as redis-cli gives it in JSON."""
        asked = ["redis-cli", "-3", "--json", "-p", str(self.node.port), *command]
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

    def letters(self, name: str) -> Counter[bytes]:
        """The malformed lines that a run has kept."""
        letters = outputs.published(self.folder / f"{name}.ckpt" / "dead_letters")
        return Counter(letters["value"].to_pylist()) if letters else Counter()

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
