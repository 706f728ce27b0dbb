"""The sink `feast` on Redis and on SQLite: Feast's own client reads every type, and its newer rows stay."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from harness import stop
from kinds import redis
from pipeline import Pipeline, ended

HERE = Path(__file__).parent
ENTITIES = {"user": "Int64", "region": "String"}
# feature: its column's type, Feast's type, the value that goes in, the value Feast gives
FEATURES = {
    "i": ("INT", "Int32", -7, -7),
    "l": ("BIGINT", "Int64", 1 << 60, 1 << 60),
    "f": ("FLOAT", "Float32", 1.5, 1.5),
    "d": ("DOUBLE", "Float64", -0.1, -0.1),
    "b": ("BOOLEAN", "Bool", False, False),
    "s": ("STRING", "String", "naïve", "naïve"),
    "x": ("BINARY", "Bytes", "AP8=", "00ff"),
    "c": ("DECIMAL(10,2)", "Decimal", 12.5, "12.50"),
    "t": ("TIMESTAMP", "UnixTimestamp", "2026-01-02T03:04:05Z", "2026-01-02T03:04:05+00:00"),
    "y": ("DATE", "UnixTimestamp", "2026-01-02", "2026-01-02T00:00:00+00:00"),
    "li": ("ARRAY<INT>", "Array(Int32)", [1, -2], [1, -2]),
    "ll": ("ARRAY<BIGINT>", "Array(Int64)", [1, -2], [1, -2]),
    "lf": ("ARRAY<FLOAT>", "Array(Float32)", [0.5], [0.5]),
    "ld": ("ARRAY<DOUBLE>", "Array(Float64)", [0.1, 2.0], [0.1, 2.0]),
    "ls": ("ARRAY<STRING>", "Array(String)", ["a", ""], ["a", ""]),
    "lb": ("ARRAY<BOOLEAN>", "Array(Bool)", [True, False], [True, False]),
    "lx": ("ARRAY<BINARY>", "Array(Bytes)", ["AP8="], ["00ff"]),
    "lt": ("ARRAY<TIMESTAMP>", "Array(UnixTimestamp)", ["2026-01-02T03:04:05Z"], ["2026-01-02T03:04:05+00:00"]),
    "m": ("MAP<STRING, BIGINT>", "Map", {"k": 3}, {"k": 3}),
    "r": ("STRUCT<a: BIGINT, b: STRING>", "Map", {"a": 1, "b": "z"}, {"a": 1, "b": "z"}),
    "nothing": ("DOUBLE", "Float64", None, None),
}


def clients_python() -> Path:
    """The Python that has Feast, which scripts/setup makes."""
    if venv := os.environ.get("TIDEMILL_CLIENTS_VENV"):
        return Path(venv) / "bin" / "python"
    told = subprocess.run(
        [". scripts/env; echo $TIDEMILL_CLIENTS_VENV"], shell=True, cwd=HERE.parents[1], capture_output=True, text=True
    )
    return Path(told.stdout.strip()) / "bin" / "python"


def feast(folder: Path, **asked) -> dict:
    """What Feast answers."""
    folder.mkdir(exist_ok=True)
    request = folder / "request.json"
    request.write_text(json.dumps({"folder": str(folder), **asked}), encoding="utf-8")
    command = [str(clients_python()), str(HERE / "feast_reader.py"), str(request)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(params=["redis", "sqlite"])
def store(request, tmp_path):
    """Options of the sink and of Feast for one kind of store."""
    if request.param == "sqlite":
        path = tmp_path / "online.db"
        yield {"online_store": "sqlite", "path": path}, {"type": "sqlite", "path": str(path)}
        return
    node = redis.Node(tmp_path / "redis", "--appendonly", "yes", "--appendfsync", "always", "--save", "")
    yield {"url": f"redis://127.0.0.1:{node.port}"}, {"type": "redis", "connection_string": f"127.0.0.1:{node.port}"}
    stop(node.process)


def test_feast_reads_every_type_and_newer_features_stay(tmp_path, store):
    ours, theirs = store
    columns = ", ".join(f"{name} {of}" for name, (of, *_) in FEATURES.items())
    pipeline = Pipeline(
        tmp_path / "p",
        f"user BIGINT, region STRING, at TIMESTAMP, {columns}",
        "SELECT * FROM events",
        connector="feast",
        project="shop",
        feature_view="stats",
        entities="user, region",
        event_timestamp="at",
        **ours,
    )
    row = {name: value for name, (_, _, value, _) in FEATURES.items()}
    entity = {"user": 5, "region": "eu"}
    pipeline.feed({**entity, "at": "2026-01-01T00:00:00.5Z", **row})
    # of two rows of one epoch the one with the newer timestamp counts, in whatever order they come
    pipeline.feed(
        {"user": 6, "region": "eu", "at": "2026-01-01T00:01:00Z", "s": "new"},
        {"user": 6, "region": "eu", "at": "2026-01-01T00:00:00Z", "s": "old"},
    )
    pipeline.run()
    asked = {
        "store": theirs,
        "entities": ENTITIES,
        "features": {name: of for name, (_, of, *_) in FEATURES.items()},
        "rows": [entity, {"user": 6, "region": "eu"}, {"user": 7, "region": "eu"}],
    }
    answer = feast(tmp_path / "feast", **asked)
    for name, (*_, expected) in FEATURES.items():
        assert answer[name][0] == expected, name
    assert answer["s"][1:] == ["new", None]


def test_features_written_by_feast_stay_when_they_are_newer(tmp_path, store):
    ours, theirs = store
    asked = {"store": theirs, "entities": {"user": "Int64"}, "features": {"s": "String"}}
    written = [
        {"user": 1, "s": "theirs", "at": "2026-06-01T00:00:00Z"},
        {"user": 2, "s": "old", "at": "2020-01-01T00:00:00Z"},
    ]
    rows = [{"user": 1}, {"user": 2}]
    assert feast(tmp_path / "feast", **asked, rows=rows, write=written)["s"] == ["theirs", "old"]
    pipeline = Pipeline(
        tmp_path / "p",
        "user INT, at TIMESTAMP, s STRING",
        "SELECT * FROM events",
        connector="feast",
        project="shop",
        feature_view="stats",
        entities="user",
        timestamp_field="at",
        **ours,
    )
    pipeline.feed(*({"user": user, "at": "2026-01-01T00:00:00Z", "s": "ours"} for user in (1, 2)))
    pipeline.run()
    assert feast(tmp_path / "feast", **asked, rows=rows)["s"] == ["theirs", "ours"]


def test_a_kill_leaves_whole_epochs(tmp_path, store):
    ours, _ = store
    pipeline = Pipeline(
        tmp_path / "p",
        "user BIGINT, at TIMESTAMP, n BIGINT",
        "SELECT user, max(at) AS at, count(*) AS n FROM events GROUP BY user",
        output_mode="update",
        connector="feast",
        project="shop",
        feature_view="stats",
        entities="user",
        event_timestamp="at",
        **ours,
    )
    for number in range(30):
        pipeline.feed(*({"user": user, "at": f"2026-01-01T00:00:{number:02}Z"} for user in range(4)))
    for _ in range(4):
        query = pipeline.start()
        try:
            query.wait(0.4)
        except subprocess.TimeoutExpired:
            query.kill()
        query.communicate()
    ended(pipeline.start("--trigger", "available-now"))
    asked = {"store": store[1], "entities": {"user": "Int64"}, "features": {"n": "Int64"}}
    assert feast(tmp_path / "feast", **asked, rows=[{"user": user} for user in range(4)])["n"] == [30] * 4


def test_a_repository_says_where_the_store_is(tmp_path, store):
    """The file is what `feast init` makes, and the folder is the one that Feast's client reads."""
    _, theirs = store
    repo = tmp_path / "repo"
    repo.mkdir()
    lines = ["project: shop", "# made by a test", "registry: registry.db", "provider: local", "online_store:"]
    theirs = dict(theirs)
    if theirs["type"] == "sqlite":
        theirs["path"] = "online.db"
    lines += [f"    {name}: {value}" for name, value in theirs.items()]
    (repo / "feature_store.yaml").write_text(
        "\n".join([*lines, "entity_key_serialization_version: 3"]) + "\n", encoding="utf-8"
    )
    pipeline = Pipeline(
        tmp_path / "p",
        "user BIGINT, at TIMESTAMP, s STRING",
        "SELECT * FROM events",
        connector="feast",
        repo=repo,
        feature_view="stats",
        entities="user",
        event_timestamp="at",
    )
    # the older row comes last and changes nothing, also over epochs
    pipeline.feed({"user": 1, "at": "2026-01-02T00:00:00Z", "s": "newer"})
    pipeline.feed({"user": 1, "at": "2026-01-01T00:00:00Z", "s": "older"})
    pipeline.run()
    asked = {"entities": {"user": "Int64"}, "features": {"s": "String"}, "rows": [{"user": 1}], "repo": str(repo)}
    assert feast(tmp_path / "feast", **asked)["s"] == ["newer"]
    (repo / "feature_store.yaml").write_text("project: shop\nonline_store:\n  type: dynamodb\n", encoding="utf-8")
    assert "dynamodb" in pipeline.run(78)
