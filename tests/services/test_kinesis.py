"""The sink `kinesis` against moto's Kinesis (an emulation), read back with boto3: keys and shards, limits, records that
are refused, lost answers, kills."""

import hashlib
import json
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import services
from harness import free_port
from pipeline import Pipeline, ended
from proxy import Proxy
from test_feast import clients_python
from throttle import Throttle

HERE = Path(__file__).parent
COLUMNS = "id BIGINT, user STRING"
SHARDS = 3
AWS = {"region": "us-east-1", "access_key_id": "k", "secret_access_key": "s"}


@pytest.fixture(scope="module")
def endpoint():
    """One moto for all tests; each has a stream of its own."""
    with services.running(["kinesis"]) as env:
        yield env["KINESIS_ENDPOINT"]


def boto(endpoint: str, *arguments: str) -> list[dict]:
    """What the reader prints."""
    command = [str(clients_python()), str(HERE / "kinesis_reader.py"), endpoint, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def put(folder: Path, stream: str, endpoint: str, query: str = "SELECT * FROM events", **table: object) -> Pipeline:
    """A pipeline that puts events to a stream."""
    table = {"connector": "kinesis", "stream": stream, "endpoint": endpoint, "format": "json", **AWS, **table}
    return Pipeline(folder, COLUMNS, query, **table)


def events(first: int, count: int = 100) -> list[dict]:
    """Rows of one file."""
    return [{"id": at, "user": f"u{at % 7}"} for at in range(first, first + count)]


def ids(records: list[dict]) -> list[int]:
    """The ids in records."""
    return [json.loads(record["data"])["id"] for record in records]


def shard_of(number: int) -> str:
    """The shard of a hash key, when the shards divide the range evenly."""
    return f"shardId-{number * SHARDS >> 128:012}"


def test_keys_decide_the_shard_and_keep_their_order(tmp_path, endpoint):
    boto(endpoint, "create", "keys", str(SHARDS))
    pipeline = put(tmp_path / "p", "keys", endpoint, partition_key="user")
    # more than one request takes
    pipeline.feed(*events(0, 1200))
    pipeline.feed(*events(1200))
    pipeline.run()
    records = boto(endpoint, "read", "keys")
    assert sorted(ids(records)) == list(range(1300))
    for record in records:
        assert record["key"] == json.loads(record["data"])["user"]
        assert record["shard"] == shard_of(int(hashlib.md5(record["key"].encode()).hexdigest(), 16))
    for user in range(7):
        mine = [at for at in ids(records) if at % 7 == user]
        assert mine == sorted(mine)
    pipeline.run()
    assert len(boto(endpoint, "read", "keys")) == 1300


def test_hash_keys_and_rows_without_a_key(tmp_path, endpoint):
    boto(endpoint, "create", "hashes", str(SHARDS))
    hashed = put(
        tmp_path / "hashed",
        "hashes",
        endpoint,
        "SELECT id, element_at(array('0', '113427455640312821154458202477256070485', "
        "'340282366920938463463374607431768211454'), CAST(id + 1 AS INT)) AS h FROM events",
        partition_key="id",
        explicit_hash_key="h",
    )
    hashed.feed(*events(0, 3))
    hashed.run()
    assert {record["key"]: record["shard"][-1] for record in boto(endpoint, "read", "hashes")} == {
        "0": "0",
        "1": "1",
        "2": "2",
    }
    boto(endpoint, "create", "spread", str(SHARDS))
    spread = put(tmp_path / "spread", "spread", endpoint)
    spread.feed(*events(0, 300))
    spread.run()
    shards = Counter(record["shard"] for record in boto(endpoint, "read", "spread"))
    assert len(shards) == SHARDS and min(shards.values()) > 50


def test_large_records_go_in_several_requests(tmp_path, endpoint):
    boto(endpoint, "create", "large", "1")
    with Throttle(endpoint, lambda _: False) as throttle:
        query = "SELECT id, repeat('x', 900000) AS pad FROM events"
        pipeline = put(tmp_path / "p", "large", throttle.endpoint, query)
        pipeline.feed(*events(0, 12))
        pipeline.run()
        assert throttle.requests == [5, 5, 2]
    assert ids(boto(endpoint, "read", "large")) == list(range(12))


@pytest.mark.parametrize("ordered", ["false", "true"])
def test_records_that_are_refused_are_put_again(tmp_path, endpoint, ordered):
    stream = f"refused-{ordered}"
    boto(endpoint, "create", stream, str(SHARDS))
    moments = random.Random(11)
    with Throttle(endpoint, lambda _: moments.random() < 0.2) as throttle:
        pipeline = put(tmp_path / "p", stream, throttle.endpoint, partition_key="user", ordered=ordered)
        for number in range(3):
            pipeline.feed(*events(number * 40, 40))
        pipeline.run()
        assert throttle.refused > 10
    found = ids(boto(endpoint, "read", stream))
    # each once: what was taken is not put again
    assert sorted(found) == list(range(120))
    if ordered == "true":
        for user in range(7):
            mine = [at for at in found if at % 7 == user]
            assert mine == sorted(mine)
    else:
        # without it a later record may overtake one of its own request, not one of an earlier epoch
        epochs = [at // 40 for at in found if at % 7 == 0]
        assert epochs == sorted(epochs)


def test_a_stream_that_takes_nothing_is_not_tried_without_end(tmp_path, endpoint):
    boto(endpoint, "create", "full", "1")
    with Throttle(endpoint, lambda _: True) as throttle:
        pipeline = put(tmp_path / "p", "full", throttle.endpoint, retry_timeout="1 second")
        pipeline.feed(*events(0, 5))
        told = pipeline.run(75)
        assert "ProvisionedThroughputExceededException" in told and "shards" in told, told
        # and goes on where it stopped
        throttle.refuses = lambda _: False
        pipeline.run()
    assert sorted(ids(boto(endpoint, "read", "full"))) == list(range(5))


def test_lost_answers_and_kills_lose_nothing(tmp_path, endpoint):
    boto(endpoint, "create", "kills", str(SHARDS))
    moments = random.Random(3)
    with Proxy(int(endpoint.rsplit(":", 1)[1])) as proxy:
        pipeline = put(tmp_path / "p", "kills", f"http://127.0.0.1:{proxy.port}", partition_key="user")
        for number in range(5):
            pipeline.feed(*events(number * 200, 200))
            proxy.drop_answer_to(b"Kinesis_20131202.PutRecords")
            process = pipeline.start()
            time.sleep(moments.uniform(0.2, 0.7))
            process.send_signal(signal.SIGKILL)
            process.communicate()
        pipeline.run()
        assert proxy.dropped >= 1
    found = Counter(ids(boto(endpoint, "read", "kills")))
    assert set(found) == set(range(1000))


def test_errors_say_what_to_do(tmp_path, endpoint):
    missing = put(tmp_path / "missing", "nowhere", endpoint)
    missing.feed(*events(0, 1))
    told = missing.run(78)
    assert "'nowhere'" in told and "ResourceNotFoundException" in told and "'region'" in told, told
    away = put(tmp_path / "away", "x", f"http://127.0.0.1:{free_port()}")
    away.feed(*events(0, 1))
    assert "cannot be reached" in away.run(75)
    half = put(tmp_path / "half", "x", endpoint, access_key_id="k")
    text = half.sql.read_text(encoding="utf-8").replace(", secret_access_key = 's'", "")
    half.sql.write_text(text, encoding="utf-8")
    half.feed(*events(0, 1))
    assert "half a key" in half.run(78)
    boto(endpoint, "create", "long", "1")
    long = put(tmp_path / "long", "long", endpoint, "SELECT id, repeat('k', 257) AS k FROM events", partition_key="k")
    long.feed(*events(0, 1))
    assert "too long for Kinesis" in ended(long.start("--trigger", "available-now"), 65)
