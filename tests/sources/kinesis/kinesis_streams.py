"""Streams of kinesalite, and pipelines that read them into files.

Must not know what a test is about.
"""

import base64
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "services"))

from pipeline import Pipeline  # noqa: E402
from pyarrow import Table, concat_tables, parquet  # noqa: E402
from test_feast import clients_python  # noqa: E402

AWS = {"region": "us-east-1", "access_key_id": "k", "secret_access_key": "s"}
FAST = {"poll_interval": "20ms", "shard_refresh": "300ms"}
HASHES = 1 << 128


class Feeder:
    """boto3 in a process of its own."""

    def __init__(self, endpoint: str) -> None:
        command = [str(clients_python()), str(HERE / "kinesis_feeder.py"), endpoint]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self) -> "Feeder":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.stdin.close()
        self.process.wait(30)
        self.process.stdout.close()

    def ask(self, do: str, **more: object) -> object:
        """One command; gives its answer."""
        print(json.dumps({"do": do, **more}), file=self.process.stdin, flush=True)
        answer = json.loads(self.process.stdout.readline())
        assert "error" not in answer, answer
        return answer["answer"]


class Stream:
    """A stream that is fed."""

    def __init__(self, feeder: Feeder, name: str, shards: int) -> None:
        self.feeder = feeder
        self.name = name
        self.ask("create", shards=shards)

    def ask(self, do: str, **more: object) -> object:
        """A command on this stream."""
        return self.feeder.ask(do, stream=self.name, **more)

    def put(self, records: list[tuple[str, bytes]]) -> list[list[str]]:
        """Puts keys with their payloads; gives shards and sequence numbers."""
        return self.ask("put", records=[{"key": key, "data": base64.b64encode(data).decode()} for key, data in records])

    def rows(self, *rows: dict) -> list[list[str]]:
        """Puts rows as JSON, by their field `key`."""
        return self.put([(row["key"], json.dumps(row).encode()) for row in rows])

    def open(self) -> list[dict]:
        """The shards that take records, in the order of their hash keys."""
        shards = [shard for shard in self.ask("shards") if shard["open"]]
        return sorted(shards, key=lambda shard: int(shard["first"]))

    def split(self, number: int) -> None:
        """Splits the open shard of this number in the middle."""
        shard = self.open()[number]
        self.ask("split", shard=shard["id"], at=str((int(shard["first"]) + int(shard["last"])) // 2))

    def merge(self, number: int) -> None:
        """Merges the open shard of this number with the next one."""
        one, other = self.open()[number : number + 2]
        self.ask("merge", shard=one["id"], other=other["id"])


def numbered(keys: int, first: int, count: int) -> list[dict]:
    """Rows of which each key has its own numbers, without gaps from 0."""
    return [{"key": f"k{at % keys}", "seq": at // keys} for at in range(first, first + count)]


class Reader(Pipeline):
    """A query from a stream to files."""

    def __init__(
        self,
        folder: Path,
        endpoint: str,
        stream: str,
        columns: str = "(key STRING, seq BIGINT)",
        query: str = "SELECT * FROM events",
        head: str = "",
        **table: object,
    ) -> None:
        table = {"starting_position": "trim_horizon"} | FAST | AWS | {"format": "json"} | table
        table = {"connector": "kinesis", "stream": stream, "endpoint": endpoint} | table
        options = ", ".join(f"{name} = '{value}'" for name, value in table.items() if value is not None)
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.sql = folder / f"{folder.name}.sql"
        self.sql.write_text(
            f"{head}\nCREATE TABLE events {columns} WITH ({options});\n"
            "CREATE TABLE out WITH (connector = 'files', path = 'out');\n"
            f"INSERT INTO out {query};\n",
            encoding="utf-8",
        )

    def change(self, old: str, new: str) -> None:
        """Writes the pipeline anew, with something else in it."""
        text = self.sql.read_text(encoding="utf-8")
        assert old in text
        self.sql.write_text(text.replace(old, new), encoding="utf-8")

    def epochs(self, directory: str = "out") -> list[Table]:
        """The rows of each epoch that has some, in order."""
        return list(published(self.folder / directory))

    def read(self, directory: str = "out") -> list[dict]:
        """All rows, in the order in which they were published."""
        epochs = self.epochs(directory)
        return concat_tables(epochs).to_pylist() if epochs else []

    def letters(self) -> list[dict]:
        """The dead letters."""
        return self.read("ckpt/dead_letters")


def published(directory: Path) -> Iterator[Table]:
    """The rows of each manifest of a files sink."""
    for manifest in sorted((directory / "_tidemill" / "log").glob("*.json")):
        files = json.loads(manifest.read_text(encoding="utf-8"))["files"]
        if files:
            yield concat_tables([parquet.read_table(directory / file["name"]) for file in files])


def check_order(reader: Reader) -> None:
    """Per key the numbers rise, from epoch to epoch and inside of each."""
    last: dict[str, int] = {}
    for row in reader.read():
        assert row["seq"] == last.get(row["key"], -1) + 1, f"{row} comes after {last.get(row['key'])}"
        last[row["key"]] = row["seq"]
