"""The source `kinesis` against kinesalite (an emulation that splits and merges), fed by boto3: every record once, in the
order of its key; every place to begin; producers' aggregated records; refusals, expired iterators; records that are bad
or lost; secrets.
"""

import base64
import json
import random
import re
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "services"))

import services
from harness import free_port, stop
from kinds.kinesalite import Server
from kinesis_faults import Faults
from kinesis_streams import HASHES, HERE, Feeder, Reader, Stream, check_order, numbered
from pipeline import PROGRAM, ended

KEYS = 7
SECONDS = 60.0


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """One kinesalite for all tests; each has a stream of its own."""
    one = Server(tmp_path_factory.mktemp("kinesalite"))
    yield one
    stop(one.process)


@pytest.fixture(scope="module")
def feeder(server):
    """boto3."""
    with Feeder(server.endpoint) as one:
        yield one


def wait_for(holds, what: str) -> None:
    """Waits, within bounds, until `holds()`."""
    deadline = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < deadline, f"not in time: {what}"
        time.sleep(0.02)


def once(rows: list[dict], count: int, keys: int = KEYS) -> None:
    """Each of the numbered rows is there, and none twice."""
    wanted = Counter((row["key"], row["seq"]) for row in numbered(keys, 0, count))
    assert Counter((row["key"], row["seq"]) for row in rows) == wanted


def test_records_are_read_once_and_in_the_order_of_their_keys(tmp_path, server, feeder):
    stream = Stream(feeder, "order", 3)
    reader = Reader(tmp_path / "p", server.endpoint, "order", max_records_per_trigger=150)
    stream.rows(*numbered(KEYS, 0, 1000))
    reader.run()
    assert len(reader.epochs()) >= 6, "150 at most"
    stream.rows(*numbered(KEYS, 1000, 400))
    reader.run()
    reader.run()
    once(reader.read(), 1400)
    check_order(reader)


def test_parents_are_read_to_their_end_before_their_children(tmp_path, server, feeder):
    stream = Stream(feeder, "reshard", 2)
    reader = Reader(tmp_path / "p", server.endpoint, "reshard", max_records_per_trigger=60)
    steps = [lambda: stream.split(0), lambda: stream.split(2), lambda: stream.merge(0), lambda: stream.merge(1)]
    for number, step in enumerate(steps):
        stream.rows(*numbered(KEYS, number * 210, 210))
        step()
        if number == 1:
            reader.run()
    stream.rows(*numbered(KEYS, 840, 210))
    reader.run()
    once(reader.read(), 1050)
    check_order(reader)
    # nothing is left of the shards that are closed
    reader.run()
    assert len(reader.read()) == 1050


def test_a_running_query_follows_a_split_at_once(tmp_path, server, feeder):
    stream = Stream(feeder, "live", 1)
    # new shards are looked for at the end of a shard, and not only now and then
    reader = Reader(tmp_path / "p", server.endpoint, "live", shard_refresh="1 hour")
    process = reader.start()
    stream.rows(*numbered(KEYS, 0, 100))
    wait_for(lambda: len(reader.read()) == 100, "the first records")
    stream.split(0)
    stream.rows(*numbered(KEYS, 100, 100))
    wait_for(lambda: len(reader.read()) == 200, "the records of the children")
    stream.merge(0)
    stream.rows(*numbered(KEYS, 200, 100))
    wait_for(lambda: len(reader.read()) == 300, "the records of the merged shard")
    process.terminate()
    ended(process)
    once(reader.read(), 300)
    check_order(reader)


def test_a_query_that_begins_with_what_comes_next_keeps_that_place(tmp_path, server, feeder):
    stream = Stream(feeder, "latest", 1)
    stream.rows({"key": "old", "seq": 0})
    reader = Reader(tmp_path / "p", server.endpoint, "latest", starting_position="latest")
    process = reader.start()
    journal = reader.folder / "ckpt" / "journal"
    wait_for(lambda: any(b"since" in file.read_bytes() for file in journal.glob("*.log")), "the place is pinned")
    process.kill()
    process.communicate()
    stream.rows(*numbered(KEYS, 0, 20))
    reader.run()
    once(reader.read(), 20)


def test_a_time_and_sequence_numbers_to_begin_with(tmp_path, server, feeder):
    stream = Stream(feeder, "begin", 2)
    places = dict(stream.rows(*numbered(KEYS, 0, 70)))
    between = datetime.now(UTC) + timedelta(seconds=0.3)
    wait_for(lambda: datetime.now(UTC) > between + timedelta(seconds=0.1), "a moment between the records")
    stream.rows(*numbered(KEYS, 70, 70))
    late = Reader(
        tmp_path / "time",
        server.endpoint,
        "begin",
        starting_position="at_timestamp",
        starting_timestamp=between.isoformat(),
    )
    late.run()
    assert sorted(row["seq"] for row in late.read()) == sorted(row["seq"] for row in numbered(KEYS, 70, 70))
    assert len(places) == 2
    after = Reader(tmp_path / "after", server.endpoint, "begin", starting_position=json.dumps(places))
    after.run()
    assert Counter(map(str, after.read())) == Counter(map(str, late.read()))
    wrong = Reader(tmp_path / "wrong", server.endpoint, "begin", starting_position='{"shardId-7": "5"}')
    assert "is no shard of" in wrong.run(78)


def aggregated(server, records: list[dict]) -> bytes:
    """What the producer library makes of records."""
    command = ["node", str(HERE / "kinesis_aggregate.js"), str(server.modules)]
    texts = [{**one, "data": base64.b64encode(one["data"].encode()).decode()} for one in records]
    done = subprocess.run(command, input=json.dumps(texts), capture_output=True, text=True, check=True, timeout=60)
    return base64.b64decode(done.stdout)


def test_aggregated_records_are_taken_apart_wherever_an_epoch_ends(tmp_path, server, feeder):
    stream = Stream(feeder, "aggregated", 1)
    own = [{"key": f"user-{at}", "data": f"part {at}"} for at in range(7)]
    packed = aggregated(server, own)
    torn = packed[:-1] + bytes([packed[-1] ^ 1])
    places = stream.put([("a", b"plain"), ("b", packed), ("c", torn), ("d", b"last")])
    options = {"columns": "", "format": None, "max_records_per_trigger": 2}
    reader = Reader(tmp_path / "p", server.endpoint, "aggregated", **options)
    reader.run()
    rows = reader.read()
    sequences = [sequence for _, sequence in places]
    expected = [("a", b"plain", sequences[0], 0)]
    expected += [(one["key"], one["data"].encode(), sequences[1], at) for at, one in enumerate(own)]
    # whatever has another checksum is a record of its own
    expected += [("c", torn, sequences[2], 0), ("d", b"last", sequences[3], 0)]
    columns = ("partitionKey", "data", "sequenceNumber", "subSequenceNumber")
    assert [tuple(row[column] for column in columns) for row in rows] == expected
    assert {(row["stream"], row["shardId"]) for row in rows} == {("aggregated", "shardId-000000000000")}
    now = datetime.now(UTC)
    assert all(now - timedelta(minutes=5) < row["approximateArrivalTimestamp"] <= now for row in rows)
    # each of them was an epoch of two
    assert [epoch.num_rows for epoch in reader.epochs()] == [2, 2, 2, 2, 2]
    assert len({row["sequenceNumber"] for row in rows}) == 4


def test_a_crash_inside_an_aggregated_record_goes_on_there(tmp_path, server, feeder):
    stream = Stream(feeder, "inside", 1)
    rows = numbered(1, 0, 40)
    stream.put([("x", aggregated(server, [{"key": row["key"], "data": json.dumps(row)} for row in rows]))])
    reader = Reader(tmp_path / "p", server.endpoint, "inside", max_records_per_trigger=1)
    while len(reader.read()) < 40:
        before = len(reader.read())
        process = reader.start()
        wait_for(lambda least=before: len(reader.read()) >= min(40, least + 10), "ten more")
        process.kill()
        process.communicate()
    reader.run()
    once(reader.read(), 40, keys=1)
    check_order(reader)


def test_user_records_of_another_shard_are_left_to_it(tmp_path, server, feeder):
    """A producer that did not know of a split yet puts them again: reading both would double them."""
    stream = Stream(feeder, "foreign", 2)
    mine, foreign = str(5), str(HASHES - 5)
    packed = aggregated(
        server, [{"key": "m", "data": "mine", "hash": mine}, {"key": "f", "data": "foreign", "hash": foreign}]
    )
    records = [("x", packed, mine), ("f", b"foreign", foreign)]
    for key, data, at in records:
        entry = {"key": key, "data": base64.b64encode(data).decode(), "more": {"ExplicitHashKey": at}}
        stream.ask("put", records=[entry])
    reader = Reader(tmp_path / "p", server.endpoint, "foreign", columns="(data STRING)", format=None)
    reader.run()
    assert sorted(row["data"] for row in reader.read()) == ["foreign", "mine"]


def test_refusals_and_expired_iterators_cost_time_and_no_records(tmp_path, server, feeder):
    stream = Stream(feeder, "refusals", 2)
    dice = random.Random(5)
    codes = ["ProvisionedThroughputExceededException", "ExpiredIteratorException", "InternalFailure"]
    codes += ["LimitExceededException", None, None, None]

    # each of them once whatever the dice say, however few the requests are
    due = [code for code in codes if code]

    def fault(action: str) -> str | None:
        fits = [code for code in codes if action == "GetRecords" or code not in codes[:2]]
        code = next((code for code in due if code in fits), None)
        if code is None:
            return dice.choice(fits)
        due.remove(code)
        return code

    with Faults(server.endpoint, fault) as faults:
        reader = Reader(tmp_path / "p", faults.endpoint, "refusals", max_records_per_trigger=100)
        stream.rows(*numbered(KEYS, 0, 300))
        stream.split(0)
        stream.rows(*numbered(KEYS, 300, 300))
        reader.run()
        assert all(faults.fired[code] > 0 for code in codes if code), faults.fired
    once(reader.read(), 600)
    check_order(reader)


def test_a_shard_that_is_asked_too_often_is_asked_less(tmp_path, server, feeder):
    Stream(feeder, "throttled", 1)
    refusing = ["ProvisionedThroughputExceededException"]
    with Faults(server.endpoint, lambda action: refusing[0] if refusing and action == "GetRecords" else None) as faults:
        reader = Reader(tmp_path / "p", faults.endpoint, "throttled", retry_timeout="1 second")
        process = reader.start()
        # 40, 80, 160 ms ...: the rate is halved by each refusal
        wait_for(lambda: faults.asked["GetRecords"] >= 6, "some refusals")
        begun = time.monotonic()
        before = faults.asked["GetRecords"]
        wait_for(lambda: faults.asked["GetRecords"] > before, "one more")
        assert time.monotonic() - begun > 0.3, "the pace has not slowed down"
        assert process.poll() is None, "to be refused is no failure, however long"
        refusing.clear()
        before = faults.asked["GetRecords"]
        wait_for(lambda: faults.asked["GetRecords"] >= before + 12, "the pace comes back")
        process.terminate()
        ended(process)


def test_memory_is_bounded_while_the_query_is_slow(tmp_path, server, feeder):
    stream = Stream(feeder, "slow", 1)
    stream.put([(f"k{at}", b"x" * 10_000) for at in range(3000)])
    with Faults(server.endpoint, lambda _: None) as faults:
        options = {"columns": "(data BINARY)", "format": None, "buffer_bytes": "1MiB"}
        query = "SELECT length(data) AS bytes FROM events"
        reader = Reader(tmp_path / "p", faults.endpoint, "slow", query=query, max_records_per_trigger=20, **options)
        process = reader.start("--trigger", "processing-time 100ms")
        wait_for(lambda: len(reader.read()) >= 60, "three epochs")
        given = faults.records
        process.kill()
        process.communicate()
        assert given < 1700, f"{given} records were read ahead, of 3000"


def test_bad_records_become_dead_letters_with_bytes_and_sequence_number(tmp_path, server, feeder):
    stream = Stream(feeder, "bad", 1)
    good = [("k", json.dumps(row).encode()) for row in numbered(1, 0, 3)]
    places = stream.put([good[0], ("k", b'{"key": "k0", "seq": "no'), good[1], ("k", b"\xff\xfe"), good[2]])
    head = "SET on_error = 'dead_letter';"
    query = "SELECT key, seq, 10 / (seq - 1) AS tenth FROM events"
    reader = Reader(tmp_path / "p", server.endpoint, "bad", head=head, query=query)
    reader.run()
    reader.run()
    assert [row["seq"] for row in reader.read()] == [0, 2]
    letters = sorted(reader.letters(), key=lambda letter: letter["offset"])
    assert [letter["value"] for letter in letters] == [b'{"key": "k0", "seq": "no', good[1][1], b"\xff\xfe"]
    assert [letter["stage"] for letter in letters] == ["decode", "expression", "decode"]
    for letter, at in zip(letters, (1, 2, 3), strict=True):
        assert (letter["offset"], letter["topic"], letter["partition"]) == (at, "bad/shardId", "000000000000")
        assert letter["place"] == f"bad/shardId-000000000000, sequence number {places[at][1]}"


def test_lag_is_a_metric(tmp_path, server, feeder):
    stream = Stream(feeder, "metrics", 1)
    stream.rows(*numbered(KEYS, 0, 50))
    port = free_port()
    reader = Reader(tmp_path / "p", server.endpoint, "metrics")
    process = reader.start("--trigger", "processing-time 20ms", "--listen", f"127.0.0.1:{port}")
    wait_for(lambda: len(reader.read()) == 50, "the records")
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=SECONDS) as answer:  # noqa: S310
        metrics = answer.read().decode()
    process.terminate()
    ended(process)
    labels = r'\{query="[^"]*",source="events",partition="metrics/shardId-000000000000"\}'
    assert re.search(rf"tidemill_source_behind_seconds{labels} 0\.0", metrics), metrics


def test_secrets_are_nowhere(tmp_path, server, feeder):
    canary = "s3ntinel" * 3
    Stream(feeder, "secret", 1).rows(*numbered(KEYS, 0, 5))
    secret = {"secret_access_key": canary, "session_token": canary}
    reader = Reader(tmp_path / "p", server.endpoint, "secret", **secret)
    port = free_port()
    process = reader.start("--trigger", "processing-time 20ms", "--listen", f"127.0.0.1:{port}")
    wait_for(lambda: len(reader.read()) == 5, "the records")
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=SECONDS) as answer:  # noqa: S310
        told = answer.read().decode()
    process.terminate()
    told += ended(process)
    # refused, and away
    told += Reader(tmp_path / "wrong", server.endpoint, "nowhere", **secret).run(78)
    away = {"retry_timeout": "1ms", **secret}
    told += Reader(tmp_path / "away", f"http://127.0.0.1:{free_port()}", "x", **away).run(75)
    files = [file for file in tmp_path.rglob("*") if file.is_file() and file.suffix != ".sql"]
    assert len(files) > 3
    assert canary not in told
    assert not [file for file in files if canary.encode() in file.read_bytes()]


def test_errors_say_what_to_do(tmp_path, server, feeder):
    told = Reader(tmp_path / "missing", server.endpoint, "nowhere").run(78)
    assert "'nowhere'" in told and "ResourceNotFoundException" in told and "'region'" in told, told
    Stream(feeder, "moved", 1).rows(*numbered(KEYS, 0, 5))
    Stream(feeder, "other", 1)
    reader = Reader(tmp_path / "moved", server.endpoint, "moved")
    reader.run()
    reader.change("stream = 'moved'", "stream = 'other'")
    told = reader.run(78)
    assert "moved/shardId-000000000000" in told or "'moved'" in told, told
    told = Reader(tmp_path / "column", server.endpoint, "moved", columns="(value STRING)", format=None).run(78)
    assert "approximateArrivalTimestamp" in told, told


def test_a_stream_that_was_made_again_stops_the_query(tmp_path, server, feeder):
    stream = Stream(feeder, "again", 1)
    stream.rows(*numbered(KEYS, 0, 30))
    reader = Reader(tmp_path / "p", server.endpoint, "again")
    reader.run()
    made = datetime.now(UTC)
    stream.ask("delete")
    # the time when a stream was made has seconds
    wait_for(lambda: datetime.now(UTC) > made + timedelta(seconds=1.1), "another second")
    stream = Stream(feeder, "again", 2)
    stream.rows(*numbered(KEYS, 30, 30))
    told = reader.run(65)
    assert "made again" in told and "fail_on_data_loss" in told, told
    reader.change("stream = 'again'", "stream = 'again', fail_on_data_loss = 'false'")
    assert "made again" in reader.run()
    once(reader.read(), 60)
    reader.run()
    once(reader.read(), 60)


def test_records_that_the_stream_keeps_no_longer_stop_the_query(tmp_path):
    """The server and then the program live 25 hours later; the stream keeps records for 24."""
    (tmp_path / "server").mkdir()
    server = Server(tmp_path / "server")
    try:
        with Feeder(server.endpoint) as feeder:
            Stream(feeder, "kept", 1).rows(*numbered(KEYS, 0, 20))
        reader = Reader(tmp_path / "p", server.endpoint, "kept")
        reader.run()
        stop(server.process)
        server.start("faketime", "-f", "+25h")
        told = ended(later(reader), 65)
        assert "was the last one that was read and is gone" in told and "fail_on_data_loss" in told, told
        reader.change("'kept'", "'kept', fail_on_data_loss = 'false'")
        assert "is gone" in ended(later(reader))
        once(reader.read(), 20)
    finally:
        stop(server.process)


def later(reader: Reader) -> subprocess.Popen:
    """A run of the query 25 hours from now."""
    checkpoint = reader.folder / "ckpt"
    command = ["faketime", "-f", "+25h", str(PROGRAM), "run", str(reader.sql), "--checkpoint", str(checkpoint)]
    command += ["--progress", "off", "--listen", "off", "--trigger", "available-now"]
    return subprocess.Popen(command, cwd=reader.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_motos_kinesis_is_read_too(tmp_path):
    """Another emulation, whose sequence numbers count from 1; closed shards it does not have."""
    with services.running(["kinesis"]) as env, Feeder(env["KINESIS_ENDPOINT"]) as feeder:
        stream = Stream(feeder, "moto", 2)
        reader = Reader(tmp_path / "p", env["KINESIS_ENDPOINT"], "moto")
        stream.rows(*numbered(KEYS, 0, 200))
        reader.run()
        stream.rows(*numbered(KEYS, 200, 100))
        reader.run()
        once(reader.read(), 300)
        check_order(reader)
