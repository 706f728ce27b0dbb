"""Sources that read what lies on disk: files, a Delta table that `deltalake` writes, a topic of the embedded log."""

import json
import subprocess
from pathlib import Path

import pyarrow
from deltalake import write_deltalake
from pipeline import PROGRAM
from place import Place, Start, Subject

SECONDS = 60
BROKEN = b'{"lane": 0, "number": "no'


class Stored(Subject):
    """A folder for each place."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def place(self, name: str) -> Place:
        return self.of(self.folder / name)

    def close(self) -> None:
        """The folder goes with the test."""


class Folder(Place):
    """Files of JSON lines, named in their order."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self.folder, self.count = folder, 0
        self.options = {"connector": "files", "path": str(folder), "format": "json"}

    def write(self, data: bytes) -> Path:
        """One more file."""
        path = self.folder / f"{self.count:06}.json"
        self.count += 1
        hidden = path.with_name(f".{path.name}")
        hidden.write_bytes(data)
        hidden.rename(path)
        return path

    def feed(self, texts: list[str]) -> None:
        self.write("".join(f"{text}\n" for text in texts).encode())

    def starts(self) -> dict[str, Start]:
        return {"all": Start({}, True)}

    def spoil(self) -> tuple[bytes, str] | None:
        return BROKEN, self.write(BROKEN + b"\n").name


class Files(Stored):
    """Folders of files."""

    name = "files"
    of = Folder


class Table(Place):
    """A Delta table."""

    columns = ""

    def __init__(self, folder: Path) -> None:
        self.path, self.version = folder, 0
        self.options = {"connector": "delta", "path": str(folder)}
        self.write([])

    def write(self, rows: list[dict]) -> None:
        """One more version."""
        types = [(name, pyarrow.int64()) for name in ("lane", "number", "check")]
        types.append(("pad", pyarrow.string()))
        table = pyarrow.Table.from_pylist(rows, schema=pyarrow.schema(types))
        write_deltalake(str(self.path), table, mode="append")
        self.version += 1

    def feed(self, texts: list[str]) -> None:
        self.write([json.loads(text) for text in texts])

    def starts(self) -> dict[str, Start]:
        return {
            "all": Start({}, True),
            "version": Start({"starting_version": "0"}, True),
            "latest": Start({"starting_version": "latest"}, False),
            "timestamp": Start({"starting_timestamp": "2000-01-01T00:00:00Z"}, True),
        }


class Delta(Stored):
    """Delta tables."""

    name = "delta"
    of = Table


class LogTopic(Place):
    """A topic that `tidemill log` fills."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.options = {"connector": "log", "path": str(folder), "topic": "t", "format": "json"}
        self.log("create", folder, "t")

    def log(self, *arguments: object, given: bytes | None = None) -> None:
        """The verb."""
        command = [str(PROGRAM), "log", *map(str, arguments)]
        done = subprocess.run(command, input=given, capture_output=True, check=False, timeout=SECONDS)
        assert done.returncode == 0, done.stderr.decode()

    def feed(self, texts: list[str]) -> None:
        self.log("append", self.folder, "t", given="".join(f"{text}\n" for text in texts).encode())

    def starts(self) -> dict[str, Start]:
        return {
            "earliest": Start({"starting_offsets": "earliest"}, True),
            "latest": Start({"starting_offsets": "latest"}, False),
            "offsets": Start({"starting_offsets": '{"t": {"0": 0}}'}, True),
        }

    def spoil(self) -> tuple[bytes, str] | None:
        self.log("append", self.folder, "t", given=BROKEN + b"\n")
        return BROKEN, "t"


class Log(Stored):
    """Topics of logs of their own."""

    name = "log"
    of = LogTopic
