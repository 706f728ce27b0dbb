"""A query from Kafka to JSON files, and what it has published, in order."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1] / "services"), str(HERE.parent)]

from pipeline import Pipeline  # noqa: E402

PATIENCE_SECONDS = 60.0
POLL_SECONDS = 0.05
KAFKA_COLUMNS = (
    "CAST(key AS STRING) AS key, CAST(value AS STRING) AS value, topic, partition, offset, timestamp, timestampType"
)
SQL = """
CREATE TABLE incoming{columns} WITH ({options});
CREATE TABLE out WITH (connector = 'files', path = 'out', format = 'json');
INSERT INTO out SELECT {select} FROM incoming;
"""


class Reading(Pipeline):
    """The query, with its checkpoint, in a folder."""

    def __init__(
        self, folder: Path, options: dict[str, object], select: str = KAFKA_COLUMNS, connector: str = "kafka"
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.sql = folder / f"{folder.name}.sql"
        self.set(options, select, connector)

    def set(self, options: dict[str, object], select: str = KAFKA_COLUMNS, connector: str = "kafka") -> None:
        """Writes the query anew; the checkpoint stays."""
        given = {"connector": connector, **options}
        columns = given.pop("columns", "")
        text = ", ".join(f"{name} = '{str(value).replace(chr(39), chr(39) * 2)}'" for name, value in given.items())
        self.sql.write_text(SQL.format(columns=columns, options=text, select=select), encoding="utf-8")

    def epochs(self) -> list[list[dict]]:
        """The rows that each epoch has published, in their order."""
        epochs = []
        for manifest in sorted((self.folder / "out" / "_tidemill" / "log").glob("*.json")):
            epochs.append([])
            for file in json.loads(manifest.read_text(encoding="utf-8"))["files"]:
                lines = (self.folder / "out" / file["name"]).read_text(encoding="utf-8").splitlines()
                epochs[-1] += [json.loads(line) for line in lines]
        return epochs

    def rows(self) -> list[dict]:
        """All of them."""
        return [row for rows in self.epochs() for row in rows]

    def values(self) -> list[str]:
        """Their column `value`."""
        return [row["value"] for row in self.rows()]

    def wait_for(self, count: int, process: subprocess.Popen) -> list[dict]:
        """Waits until so many rows are published; the query must live on."""
        until(lambda: len(self.rows()) >= count, lambda: f"{len(self.rows())} of {count} rows", process)
        return self.rows()


def until(holds: Callable[[], bool], told: Callable[[], str], process: subprocess.Popen | None = None) -> None:
    """Waits until something holds; `told` says how far it is when that takes too long."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        if process is not None and process.poll() is not None:
            out, error = process.communicate()
            raise AssertionError(f"the query ended with {process.returncode}: {told()}\n{out}{error}")
        if time.monotonic() >= deadline:
            said = ""
            if process is not None:
                process.kill()
                said = "".join(process.communicate())
            raise AssertionError(f"{told()}\n{said}")
        time.sleep(POLL_SECONDS)
