"""The sink `capture` through kill -9, on a disk, in S3 (moto's server) and in Azure Blob Storage (Azurite): whatever
fastavro finds at any moment is whole and not doubled, and in the end every event is there once.
"""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parents[1] / "services"), str(HERE.parent / "files")]

import services  # noqa: E402
from pipeline import Pipeline  # noqa: E402
from test_files_stores import AZURE_OPTIONS, S3_OPTIONS, azure, from_s3  # noqa: E402

CLIENTS = Path(os.environ["TIDEMILL_CLIENTS_VENV"]) / "bin" / "python"
NAME = re.compile(r"shop/orders/\d/\d{4}/\d\d/\d\d/\d\d/\d\d/\d\d\.avro")
PROPERTIES = {"type": "map", "values": ["long", "double", "string", "bytes"]}
# "Capture streaming events through Azure Event Hubs" of Azure's documentation
SCHEMA = {
    "type": "record",
    "name": "EventData",
    "namespace": "Microsoft.ServiceBus.Messaging",
    "fields": [
        {"name": "SequenceNumber", "type": "long"},
        {"name": "Offset", "type": "string"},
        {"name": "EnqueuedTimeUtc", "type": "string"},
        {"name": "SystemProperties", "type": PROPERTIES},
        {"name": "Properties", "type": PROPERTIES},
        {"name": "Body", "type": ["null", "bytes"]},
    ],
}
HUB = {"connector": "capture", "namespace": "shop", "event_hub": "orders"}
ROWS_A_FILE, PARTITIONS = 8, 3


def fastavro(folder: Path) -> dict:
    """What fastavro reads below a folder; fails when a file is not whole."""
    done = subprocess.run([str(CLIENTS), str(HERE / "avro_reader.py"), str(folder)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    for name, archive in found.items():
        assert NAME.fullmatch(name), name
        assert archive["schema"] == SCHEMA, name
    return found


def checked(found: dict) -> list[int]:
    """The ids in archives, none of them twice, in the order and under the numbers of their partition."""
    ids, positions = [], {}
    for name in sorted(found):
        partition = int(name.split("/")[2])
        for event in found[name]["events"]:
            row = json.loads(event["Body"])
            assert row["id"] % PARTITIONS == partition
            expected = positions.setdefault(partition, [0, 0])
            assert [event["SequenceNumber"], int(event["Offset"])] == expected, name
            expected[0] += 1
            expected[1] += len(event["Body"])
            ids.append(row["id"])
    assert len(set(ids)) == len(ids), "an event is there twice"
    return ids


def captured(folder: Path, **options: object) -> Pipeline:
    """A pipeline that captures orders."""
    query = f"SELECT id, CAST(id % {PARTITIONS} AS STRING) AS p, pad FROM events"
    table = {**HUB, "format": "json", "partition": "p", "interval_in_seconds": 1, **options}
    # small epochs, that a window has many
    return Pipeline(folder, "id BIGINT, pad STRING", query, **{f"'{name}'": value for name, value in table.items()})


def through_kills(pipeline: Pipeline, read: Callable[[], dict], kills: int, pad: int, seed: int) -> dict:
    """Feeds, runs and kills the pipeline and reads after each kill; gives what is there when all was read."""
    moments = random.Random(seed)
    hits, fed = 0, 0
    for _ in range(kills):
        for _ in range(3):
            pipeline.feed(*({"id": fed + row, "pad": "x" * pad} for row in range(ROWS_A_FILE)))
            fed += ROWS_A_FILE
        process = pipeline.start()
        time.sleep(moments.uniform(0.1, 0.9))
        hits += process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.communicate()
        checked(read())
    assert hits == kills, "a query ended before it was killed"
    pipeline.run()
    found = read()
    assert sorted(checked(found)) == list(range(fed))
    return found


@pytest.mark.parametrize("options", [{}, {"size_limit_in_bytes": "64KiB", "encoding": "AvroDeflate"}])
def test_on_a_disk_through_kills(tmp_path: Path, options: dict) -> None:
    pipeline = captured(tmp_path / "p", path="out", skip_empty_archives="true", **options)
    pad = 5_000 if options else 10
    found = through_kills(pipeline, lambda: fastavro(tmp_path / "p" / "out"), kills=8, pad=pad, seed=len(options))
    assert all(archive["events"] for archive in found.values())
    assert {archive["codec"] for archive in found.values()} == {"deflate" if options else "null"}
    # what is wrong is seen: an archive twice, an archive cut off
    name = sorted(found)[0]
    archive = tmp_path / "p" / "out" / name
    twice = archive.with_name("00.avro" if archive.name != "00.avro" else "01.avro")
    twice.write_bytes(archive.read_bytes())
    with pytest.raises(AssertionError):
        checked(fastavro(tmp_path / "p" / "out"))
    twice.write_bytes(archive.read_bytes()[:-20])
    with pytest.raises(AssertionError):
        fastavro(tmp_path / "p" / "out")


def test_events_as_the_event_hubs_connector_names_them(tmp_path: Path) -> None:
    columns = "body STRING, partition INT, enqueued_time TIMESTAMP, partitionKey STRING, n BIGINT, properties MAP<STRING, BIGINT>"
    pipeline = Pipeline(
        tmp_path / "p",
        columns,
        "SELECT body, partition, enqueued_time AS enqueuedTime, partitionKey, properties, "
        "map('iothub-x', CAST(n AS DOUBLE)) AS systemProperties FROM events",
        path="out",
        **HUB,
    )
    at = "2019-01-14T19:33:10.5Z"
    pipeline.feed(
        {"body": "a", "partition": 2, "enqueued_time": at, "partitionKey": "k", "n": 1, "properties": {"x": 7}},
        {"partition": 2, "enqueued_time": at, "properties": {"y": None}},
    )
    pipeline.run()
    (archive,) = fastavro(tmp_path / "p" / "out").values()
    first, second = archive["events"]
    assert first == {
        "SequenceNumber": 0,
        "Offset": "0",
        "EnqueuedTimeUtc": "1/14/2019 7:33:10 PM",
        "SystemProperties": {"iothub-x": 1.0, "x-opt-partition-key": "k"},
        "Properties": {"x": 7},
        "Body": "a",
    }
    assert second | {"EnqueuedTimeUtc": ""} == {
        "SequenceNumber": 1,
        "Offset": "1",
        "EnqueuedTimeUtc": "",
        "SystemProperties": {},
        "Properties": {},
        "Body": None,
    }


@pytest.fixture(scope="module")
def env() -> Iterator[dict[str, str]]:
    """Both stores, each with an empty bucket."""
    with services.running(["azurite", "s3"]) as started:
        from_s3(started, "create")
        azure(started, "PUT", "/results?restype=container")
        yield started


def saved(folder: Path, files: dict[str, bytes]) -> dict:
    """What fastavro reads of files that were fetched; those that a reader of archives passes over are left out."""
    for name, content in files.items():
        if not name.startswith("_tidemill/"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
    return fastavro(folder)


def test_in_s3_through_kills(env: dict[str, str], tmp_path: Path) -> None:
    options = {f"storage.{name}": value.format(**env) for name, value in S3_OPTIONS.items()}
    pipeline = captured(tmp_path / "p", path="s3://results/hub", skip_empty_archives="true", **options)
    through_kills(pipeline, lambda: saved(tmp_path / "s3", from_s3(env, "hub/")), kills=4, pad=10, seed=3)


def test_in_azure_through_kills(env: dict[str, str], tmp_path: Path) -> None:
    options = {f"storage.{name}": value.format(**env) for name, value in AZURE_OPTIONS.items()}
    pipeline = captured(tmp_path / "p", path="az://results/hub", skip_empty_archives="true", **options)

    def read() -> dict:
        listed = azure(env, "GET", "/results?comp=list&prefix=hub&restype=container").decode()
        names = [name for name in re.findall(r"<Name>hub/([^<]*)</Name>", listed) if not name.startswith("_tidemill")]
        return saved(tmp_path / "az", {name: azure(env, "GET", f"/results/hub/{name}") for name in names})

    through_kills(pipeline, read, kills=4, pad=10, seed=4)
