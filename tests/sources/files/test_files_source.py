"""Files on disks and in object stores, in every format and compression: put there by boto3, Arrow and fastavro, read
through kills.

`TIDEMILL_KILLS=100` runs the test of kills in its long form.
"""

import bz2
import gzip
import json
import lzma
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.fs
import pyarrow.parquet as parquet
import pytest
from deltalake import DeltaTable

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1] / "services"), str(HERE.parents[1] / "kill")]
import buckets  # noqa: E402
import services  # noqa: E402
import validator  # noqa: E402
from pipeline import PROGRAM, ended  # noqa: E402

KILLS = int(os.environ.get("TIDEMILL_KILLS", "10"))
CLIENTS = Path(os.environ.get("TIDEMILL_CLIENTS_VENV", sys.prefix)) / "bin" / "python"
ROWS_A_FILE = 5
DATA, INVALID = 65, 78
SQL = """
CREATE TABLE events (id BIGINT, name STRING) WITH (connector = 'files', path = '{path}'{options});
CREATE TABLE results WITH (connector = 'delta', path = '{results}');
INSERT INTO results SELECT id, name FROM events;
"""


class Query:
    """A query from files to a Delta table, in a folder."""

    def __init__(self, folder: Path, path: str, **options: object) -> None:
        self.folder = folder
        given = "".join(f", '{key}' = '{value}'" for key, value in options.items())
        self.sql = folder / "files.sql"
        self.sql.write_text(SQL.format(path=path, results=folder / "results", options=given), encoding="utf-8")

    def start(self, *options: str) -> subprocess.Popen:
        """Starts it; without options it runs until it is stopped."""
        command = [str(PROGRAM), "run", str(self.sql), "--checkpoint", str(self.folder / "ckpt"), "--listen", "off"]
        command += ["--progress", "off", *(options or ("--trigger", "processing-time 5ms"))]
        return subprocess.Popen(command, cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def run(self, code: int = 0) -> str:
        """Reads what is there, and must end with this code; gives what it says."""
        return ended(self.start("--trigger", "available-now"), code)

    def rows(self) -> list[tuple]:
        """What came out."""
        if not (self.folder / "results" / "_delta_log").is_dir():
            return []
        table = DeltaTable(str(self.folder / "results")).to_pyarrow_table()
        return sorted(zip(table.column("id").to_pylist(), table.column("name").to_pylist(), strict=True))


def client(*arguments: object) -> str:
    """Runs a program of the clients' environment to its end; gives what it prints."""
    return subprocess.run([str(CLIENTS), *map(str, arguments)], capture_output=True, check=True, text=True).stdout


def put(env: dict[str, str], *arguments: object) -> str:
    """A verb of put_objects.py."""
    return client(HERE / "put_objects.py", env["S3_ENDPOINT"], buckets.BUCKET, *arguments)


def prefixed(options: dict[str, str]) -> dict[str, str]:
    """As a table is told them."""
    return {f"storage.{key}": value for key, value in options.items()}


@pytest.fixture(scope="module")
def stores() -> Iterator[dict[str, str]]:
    """Both object stores, each with an empty bucket."""
    with services.running(["azurite", "s3"]) as env:
        buckets.s3(env["S3_ENDPOINT"], "create")
        buckets.azure(env, "PUT", f"/{buckets.BUCKET}?restype=container")
        yield env


def azure(env: dict[str, str]) -> pyarrow.fs.AzureFileSystem:
    """The same container as Arrow's own client sees it."""
    host = env["AZURITE_ENDPOINT"].removeprefix("http://").split("/")[0]
    return pyarrow.fs.AzureFileSystem(
        env["AZURITE_ACCOUNT"], account_key=env["AZURITE_KEY"], blob_storage_authority=host, dfs_storage_authority=host,
        blob_storage_scheme="http", dfs_storage_scheme="http",
    )  # fmt: skip


def row(id: int) -> tuple[int, str | None]:
    """The row of a number."""
    return id, f"n{id}" if id % 2 else None


def line(id: int) -> str:
    """As JSON."""
    return json.dumps({"id": id, "name": row(id)[1]}) + "\n"


def zstd(content: bytes) -> bytes:
    """By Arrow."""
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as out:
        out.write(content)
    return sink.getvalue().to_pybytes()


COMPRESSIONS = {"": bytes, ".gz": gzip.compress, ".bz2": bz2.compress, ".zst": zstd, ".xz": lzma.compress}
PARQUET, AVRO = (
    ("none", "snappy", "gzip", "brotli", "zstd", "lz4"),
    ("null", "deflate", "bzip2", "xz"),
)


def write(folder: Path, form: str) -> int:
    """Five rows a file in every compression of a format; gives the number of rows."""
    folder.mkdir()
    number = 0

    def ids() -> range:
        return range(number * ROWS_A_FILE, (number + 1) * ROWS_A_FILE)

    if form in ("json", "csv"):
        for ending, compress in COMPRESSIONS.items():
            text = (
                "".join(map(line, ids()))
                if form == "json"
                else "id,name\n" + "".join(f"{id},{row(id)[1] or ''}\n" for id in ids())
            )
            (folder / f"{number}.{form}{ending}").write_bytes(compress(text.encode()))
            number += 1
    for codec in PARQUET if form == "parquet" else ():
        columns = {"name": [row(id)[1] for id in ids()], "id": list(ids())}
        parquet.write_table(pa.table(columns), folder / f"{number}.parquet", compression=codec)
        number += 1
    for codec in AVRO if form == "avro" else ():
        client(HERE / "write_avro.py", folder / f"{number}.avro", codec, ids().start, ids().stop)
        number += 1
    return number * ROWS_A_FILE


@pytest.mark.parametrize("form", ["json", "csv", "parquet", "avro"])
def test_every_format_in_every_compression_from_a_disk_and_from_s3(
    tmp_path: Path, stores: dict[str, str], form: str
) -> None:
    count = write(tmp_path / "in", form)
    put(stores, "copy", f"formats/{form}", tmp_path / "in")
    places = {
        "disk": ("in", {}),
        "s3": (f"s3://{buckets.BUCKET}/formats/{form}", buckets.s3_options(stores["S3_ENDPOINT"])),
    }
    for name, (path, options) in places.items():
        (tmp_path / name).mkdir()
        query = Query(tmp_path / name, path if name == "s3" else str(tmp_path / path), format=form, **prefixed(options))
        query.run()
        assert query.rows() == [row(id) for id in range(count)], name


def test_s3_through_kills_while_boto3_puts_objects(tmp_path: Path, stores: dict[str, str]) -> None:
    count = max(40, KILLS * 8)
    path = f"s3://{buckets.BUCKET}/kills"
    options = prefixed(buckets.s3_options(stores["S3_ENDPOINT"]))
    query = Query(tmp_path, path, format="json", max_files_per_trigger=3, poll_interval="20ms", **options)
    command = [str(CLIENTS), str(HERE / "put_objects.py"), stores["S3_ENDPOINT"], buckets.BUCKET, "feed", "kills"]
    feeder = subprocess.Popen([*command, str(count), str(ROWS_A_FILE), "0.05"])
    dice = random.Random(2)
    for _ in range(KILLS):
        process = query.start()
        time.sleep(dice.uniform(0.3, 1.0))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL, "it ended by itself"
    assert feeder.wait(60) == 0
    query.run()
    wrong = validator.compare(Counter(range(count * ROWS_A_FILE)), Counter(id for id, _ in query.rows()))
    assert not wrong, wrong
    print(f"{KILLS} kills, {count} objects", file=sys.stderr)


def test_azure_through_kills_while_arrow_writes_blobs(tmp_path: Path, stores: dict[str, str]) -> None:
    options = prefixed(buckets.azure_options(stores))
    query = Query(tmp_path, f"az://{buckets.BUCKET}/kills", format="json", poll_interval="20ms", **options)
    blobs, dice, written = azure(stores), random.Random(8), 0
    for _ in range(3):
        process = query.start()
        dies = time.monotonic() + dice.uniform(0.5, 1.0)
        while time.monotonic() < dies:
            # Arrow makes a blob empty first and fills it then: it is put in place when it is whole
            half, whole = (f"{buckets.BUCKET}/{folder}/{written:05}.json" for folder in ("halves", "kills"))
            with blobs.open_output_stream(half) as out:
                out.write("".join(map(line, range(written, written + ROWS_A_FILE))).encode())
            blobs.copy_file(half, whole)
            written += ROWS_A_FILE
        process.send_signal(signal.SIGKILL)
        process.communicate()
    query.run()
    assert query.rows() == [row(id) for id in range(written)]


def test_patterns_folders_and_single_objects_are_the_same_as_on_a_disk(tmp_path: Path, stores: dict[str, str]) -> None:
    names = ["a.json", "day=1/b.json", "day=2/c.json", "day=2/deep/d.json", "_e.json", ".f.json", "_g/h.json", "i.txt"]
    for id, name in enumerate(names):
        file = tmp_path / "in" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(line(id), encoding="utf-8")
    put(stores, "copy", "tree", tmp_path / "in")
    storage = prefixed(buckets.s3_options(stores["S3_ENDPOINT"]))
    asked = {
        "": ([0, 7], {}),
        "/*.json": ([0], {}),
        "/a.json": ([0], {}),
        "/day=*": ([1, 2], {}),
        "/day=*/*.json": ([1, 2], {}),
        "/ ": ([0, 1, 2, 3], {"recursive": "true", "path_glob_filter": "*.json"}),
    }
    for number, (path, (ids, options)) in enumerate(asked.items()):
        for name, root, more in (("disk", str(tmp_path / "in"), {}), ("s3", f"s3://{buckets.BUCKET}/tree", storage)):
            folder = tmp_path / f"{number}-{name}"
            folder.mkdir()
            query = Query(folder, root + path.strip(), format="json", **options, **more)
            query.run()
            assert [id for id, _ in query.rows()] == ids, (path, name)


def test_an_object_that_is_not_whole_yet_is_not_read(tmp_path: Path, stores: dict[str, str]) -> None:
    (tmp_path / "one.json").write_text(line(1), encoding="utf-8")
    begun = put(stores, "begin", "halves/one.json", tmp_path / "one.json")
    options = prefixed(buckets.s3_options(stores["S3_ENDPOINT"]))
    query = Query(tmp_path, f"s3://{buckets.BUCKET}/halves", format="json", **options)
    query.run()
    assert query.rows() == []
    put(stores, "finish", "halves/one.json", begun)
    query.run()
    assert query.rows() == [row(1)]


def test_what_a_files_sink_has_not_published_is_not_read(tmp_path: Path, stores: dict[str, str]) -> None:
    place = f"s3://{buckets.BUCKET}/published"
    storage = prefixed(buckets.s3_options(stores["S3_ENDPOINT"]))
    options = "".join(f", '{key}' = '{value}'" for key, value in storage.items())
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.json").write_text("".join(map(line, range(3))), encoding="utf-8")
    (tmp_path / "write.sql").write_text(
        f"CREATE TABLE events (id BIGINT, name STRING) WITH (connector = 'files', path = 'in', format = 'json');"
        f"CREATE TABLE out WITH (connector = 'files', path = '{place}', format = 'json'{options});"
        f"INSERT INTO out SELECT id, name FROM events;",
        encoding="utf-8",
    )
    command = [str(PROGRAM), "run", "write.sql", "--trigger", "available-now", "--listen", "off", "--progress", "off"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    (tmp_path / "stray").mkdir()
    (tmp_path / "stray" / "part-left-over.json").write_text(line(99), encoding="utf-8")
    put(stores, "copy", "published", tmp_path / "stray")
    query = Query(tmp_path, place, format="json", **storage)
    query.run()
    assert query.rows() == [row(id) for id in range(3)]


def test_damaged_and_unknown_compressions_stop_the_query_by_name(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    query = Query(tmp_path, "in", format="json")
    whole = gzip.compress("".join(map(line, range(100))).encode())
    (tmp_path / "in" / "a.json.gz").write_bytes(whole[:-5])
    assert "'a.json.gz' cannot be decompressed as .gz" in query.run(DATA)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "in").mkdir()
    (tmp_path / "other" / "in" / "a.json.lz4").write_bytes(b"?")
    assert "'a.json.lz4' is compressed as .lz4, which is not read" in Query(
        tmp_path / "other", "in", format="json"
    ).run(DATA)


def test_a_store_that_cannot_be_had_is_told_without_its_secrets(tmp_path: Path, stores: dict[str, str]) -> None:
    options = prefixed(buckets.azure_options(stores) | {"azure_storage_account_key": "bm90IHRoZSBrZXk="})
    told = Query(tmp_path, f"az://{buckets.BUCKET}/x", format="json", **options).run(77)
    assert "bm90IHRoZSBrZXk=" not in told.splitlines()[0]
    wrong = Query(tmp_path, "s3://no/such", format="json", **{"storage.azure_storage_account_key": "x"})
    assert "has no option 'azure_storage_account_key'" in wrong.run(INVALID)
