"""Files -> embedded log -> sliding window -> Parquet files: two queries in one program, each with a
checkpoint of its own, both killed at once. The second one is looked at.
"""

from collections import Counter
from datetime import timedelta
from pathlib import Path

import aims
import checkpoint
import outputs
from fed import FedFolder

DELAY = timedelta(minutes=2)
PREFED = 30
STAGES = (
    aims.Aim("after rows were appended to the log", 10, aims.at("log grew")),
    aims.Aim("between a data file and its manifest", 10, aims.at("results new")),
    aims.Aim("after the sink's commit, before ours", 10, aims.at("results log new")),
)
SQL = """
SET snapshot_bytes = 24KiB;
SET epochs_retained = 5;
CREATE TABLE incoming (user STRING, session STRING, ts TIMESTAMP, amount INT)
    WITH (connector = 'files', path = 'in', format = 'json', maxFilesPerTrigger = {files});
CREATE TABLE topic
    WITH (connector = 'log', path = '{name}/log', topic = 'events', segment_bytes = '64KiB', format = 'json');
INSERT INTO topic SELECT * FROM incoming;
CREATE TABLE events (user STRING, session STRING, ts TIMESTAMP, amount INT,
                     WATERMARK FOR ts AS ts - INTERVAL '2 minutes')
    WITH (connector = 'log', path = '{name}/log', topic = 'events', maxOffsetsPerTrigger = {records}, format = 'json');
CREATE TABLE results WITH (connector = 'files', path = '{name}/results', format = 'parquet');
INSERT INTO results
SELECT window.start AS opened, window.end AS closed, user, count(*) AS events, count(DISTINCT session) AS sessions,
       sum(amount) AS total, max(amount) AS largest, avg(amount) AS mean
FROM events GROUP BY window(ts, '5 minutes', '1 minute'), user;
"""


class LogFiles(FedFolder):
    """The pipeline, its input and its output, in a folder."""

    name = "log-files"
    aims = aims.GENERAL + STAGES
    query = "loop.results"
    # what the second query reads is what the first one has written when it starts
    last_runs = 2

    def __init__(self, folder: Path, seed: int) -> None:
        super().__init__(folder, seed, DELAY)
        self.checkpoint = folder / "loop.ckpt" / "loop.results"
        for name, files, records in (("loop", 1, 40), ("undisturbed", 10, 200)):
            sql = SQL.format(name=name, files=files, records=records)
            (folder / f"{name}.sql").write_text(sql, encoding="utf-8")
        for _ in range(PREFED):
            self.feed()

    def directories(self) -> dict[str, Path]:
        """What to watch, by the names that aims use."""
        results = self.folder / "loop" / "results"
        partition = next((self.folder / "loop" / "log").rglob("*.log")).parent
        return {"results": results, "results log": results / "_tidemill" / "log", "log": partition}

    def situation(self) -> str:
        """What the next start has to recover from."""
        results = checkpoint.files_epoch(self.folder / "loop" / "results")
        return checkpoint.situation(checkpoint.read(self.checkpoint), [results])

    def results(self, name: str) -> Counter[tuple]:
        """The rows that a run has published."""
        table = outputs.published(self.folder / name / "results")
        return Counter(outputs.rows(table)) if table else Counter()

    def letters(self, name: str) -> Counter[bytes]:
        """The malformed lines that the first query has kept."""
        letters = outputs.published(self.folder / f"{name}.ckpt" / f"{name}.topic" / "dead_letters")
        return Counter(letters["value"].to_pylist()) if letters else Counter()

    def inspect(self) -> list[str]:
        """How many files no manifest names."""
        results = self.folder / "loop" / "results"
        there = len(list(results.glob("*.parquet")))
        commits = len(list((results / "_tidemill" / "log").glob("*.json")))
        return [f"results: {commits} commits, {there} files with those of killed epochs"]
