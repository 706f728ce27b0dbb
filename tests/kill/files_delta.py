"""Files -> sliding window -> Delta: JSON lines that come while the program runs, malformed ones to a
second Delta table; read back with `deltalake` and with DuckDB.
"""

import os
from collections import Counter
from datetime import timedelta
from pathlib import Path

import aims
import checkpoint
import outputs
from deltalake import DeltaTable
from fed import FedFolder
from life import Failed

DELAY = timedelta(minutes=2)
PREFED = 30
STAGES = (
    aims.Aim("between a data file and its commit", 15, aims.at("results new")),
    aims.Aim("after the sink's commit, before ours", 15, aims.at("results log new")),
    aims.Aim("after the dead letters' commit", 5, aims.at("letters log new", most=1)),
)
SQL = """
SET dead_letter = letters;
SET snapshot_bytes = 24KiB;
SET epochs_retained = 5;
CREATE TABLE events (user STRING, session STRING, ts TIMESTAMP, amount INT,
                     WATERMARK FOR ts AS ts - INTERVAL '2 minutes')
    WITH (connector = 'files', path = 'in', format = 'json', maxFilesPerTrigger = {files});
CREATE TABLE results WITH (connector = 'delta', path = '{results}');
CREATE TABLE letters WITH (connector = 'delta', path = '{letters}');
INSERT INTO results
SELECT window.start AS opened, window.end AS closed, user, count(*) AS events, count(DISTINCT session) AS sessions,
       sum(amount) AS total, max(amount) AS largest, avg(amount) AS mean
FROM events GROUP BY window(ts, '5 minutes', '1 minute'), user;
"""


class FilesDelta(FedFolder):
    """The pipeline, its input and its output, in a folder."""

    name = "files-delta"
    aims = aims.GENERAL + STAGES
    query = "loop"
    last_runs = 1

    def __init__(self, folder: Path, seed: int) -> None:
        super().__init__(folder, seed, DELAY)
        self.checkpoint = folder / "loop.ckpt"
        for name, files in (("loop", 1), ("undisturbed", 10)):
            sql = SQL.format(files=files, results=f"{name}/results", letters=f"{name}/letters")
            (folder / f"{name}.sql").write_text(sql, encoding="utf-8")
        for _ in range(PREFED):
            self.feed()

    def directories(self) -> dict[str, Path]:
        """What to watch, by the names that aims use."""
        loop = self.folder / "loop"
        tables = {name: loop / name for name in ("results", "letters")}
        return tables | {f"{name} log": table / "_delta_log" for name, table in tables.items()}

    def situation(self) -> str:
        """What the next start has to recover from."""
        tables = [self.folder / "loop" / name for name in ("results", "letters")]
        return checkpoint.situation(
            checkpoint.read(self.checkpoint), [checkpoint.delta_epoch(table) for table in tables]
        )

    def results(self, name: str) -> Counter[tuple]:
        """The rows that a run has written, as `deltalake` reads them."""
        table = self.folder / name / "results"
        return Counter(outputs.rows(outputs.delta(table))) if table.exists() else Counter()

    def letters(self, name: str) -> Counter[bytes]:
        """The malformed lines that a run has kept."""
        table = outputs.delta(self.folder / name / "letters")
        ids = Counter(table["id"].to_pylist())
        if twice := [key for key, count in ids.items() if count > 1]:
            raise Failed(f"dead letters with the same id: {twice[:5]}")
        return Counter(table["value"].to_pylist())

    def inspect(self) -> list[str]:
        """Other readers, and the tables' logs; says what it found."""
        table = self.folder / "loop" / "results"
        told = [self.read_by_duckdb(table)]
        for name in ("results", "letters"):
            told.append(self.inspect_log(self.folder / "loop" / name))
        return told

    def read_by_duckdb(self, table: Path) -> str:
        """DuckDB must read the same rows: by its delta extension, or over Arrow where it is not installed."""
        import duckdb

        connection = duckdb.connect(config={"autoinstall_known_extensions": "false"})
        connection.execute("SET TimeZone = 'UTC'")
        try:
            import duckdb_ext

            duckdb_ext.init(connection)
            connection.execute("LOAD delta")
            scan, way = f"delta_scan('{table}')", "delta_scan"
        except (ImportError, duckdb.Error):
            connection.register("results", DeltaTable(table).to_pyarrow_dataset())
            scan, way = "results", "its Arrow scan (the delta extension is not installed)"
        seen = Counter(outputs.rows(connection.execute(f"SELECT * FROM {scan}").fetch_arrow_table()))
        if seen != self.results("loop"):
            raise Failed("DuckDB reads other rows from the Delta table than deltalake does")
        return f"DuckDB {duckdb.__version__} reads the same {seen.total()} rows by {way}"

    def inspect_log(self, table: Path) -> str:
        """Versions without a gap, an epoch at most once, and the files that no commit names."""
        delta = DeltaTable(table)
        history = [entry["version"] for entry in delta.history()]
        if history != list(range(history[0], history[0] - len(history), -1)):
            raise Failed(f"the versions of {table} have gaps: {history}")
        named = {os.path.basename(uri) for uri in delta.file_uris()}
        there = {file.name for file in table.glob("*.parquet")}
        if missing := named - there:
            raise Failed(f"{table} names files that are not there: {sorted(missing)}")
        orphans = len(there - named)
        return f"{table.name}: version {delta.version()}, {len(named)} files, {orphans} orphans of killed epochs"
