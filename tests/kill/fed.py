"""The input of a pipeline: a folder of JSON files, each a portion of events, and what must come of them.

Must not know what the pipeline writes to, except that it may be a server, which dies now and then.
"""

from collections import Counter
from datetime import timedelta
from pathlib import Path

import aims
import events
import outputs

DELAY = timedelta(minutes=2)
PREFED = 30
# every so many portions of input a server is killed and started again
SERVER_KILL_PORTIONS = 25
SQL = """
SET snapshot_bytes = 24KiB;
SET epochs_retained = 5;
CREATE TABLE events (user STRING, session STRING, ts TIMESTAMP, amount INT,
                     WATERMARK FOR ts AS ts - INTERVAL '2 minutes')
    WITH (connector = 'files', path = 'in', format = 'json', maxFilesPerTrigger = {files});
CREATE TABLE results WITH ({table});
INSERT INTO results
SELECT window.start AS opened, window.end AS closed, user, count(*) AS events, count(DISTINCT session) AS sessions,
       sum(amount) AS total, max(amount) AS largest, avg(amount) AS mean
FROM events GROUP BY window(ts, '5 minutes', '1 minute'), user;
"""


class FedFolder:
    """Files that appear whole, one after another, and the oracle of all of them."""

    def __init__(self, folder: Path, seed: int, delay: timedelta) -> None:
        self.folder = folder
        self.seed = seed
        self.fed = 0
        self.oracle = events.Oracle(delay)
        (folder / "in").mkdir()

    def feed(self) -> None:
        """One more file of input, which appears whole."""
        portion = events.portion(self.seed, self.fed)
        fresh = self.folder / "in" / ".fresh"
        fresh.write_bytes(b"".join(line + b"\n" for line in portion.lines))
        fresh.rename(self.folder / "in" / f"{self.fed:06}.json")
        self.oracle.add(portion)
        self.fed += 1


class FedServer(FedFolder):
    """A pipeline that writes to a server of its own, killed every so many portions; its bad lines are in the checkpoint.

    `table` is the WITH clause of the results, in which `{name}` is the run's name.
    """

    aims = aims.GENERAL
    query = "loop"
    last_runs = 1

    def __init__(self, folder: Path, seed: int, server, table: str) -> None:
        super().__init__(folder, seed, DELAY)
        self.checkpoint = folder / "loop.ckpt"
        self.server = server
        self.server_kills = 0
        for name, files in (("loop", 1), ("undisturbed", 10)):
            sql = SQL.format(files=files, table=table.format(name=name))
            (folder / f"{name}.sql").write_text(sql, encoding="utf-8")
        for _ in range(PREFED):
            self.feed()

    def feed(self) -> None:
        """One more file of input; now and then the server is killed."""
        super().feed()
        if self.fed > PREFED and self.fed % SERVER_KILL_PORTIONS == 0:
            self.kill_server()

    def kill_server(self) -> None:
        """The server dies, as in a crash, and comes back with what it had written to its own log."""
        self.server.kill()
        self.server.start()
        self.server_kills += 1

    def directories(self) -> dict[str, Path]:
        """Nothing but the checkpoint can be watched."""
        return {}

    def letters(self, name: str) -> Counter[bytes]:
        """The malformed lines that a run has kept."""
        letters = outputs.published(self.folder / f"{name}.ckpt" / "dead_letters")
        return Counter(letters["value"].to_pylist()) if letters else Counter()
