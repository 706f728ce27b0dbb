"""`tidemill log`, and what retention owes to the readers of a topic: fed from standard input, read by a query."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))

from pushed import PROGRAM, Query, wait_for

VERB_SECONDS = 60


def log(*arguments: object, given: bytes | None = None, code: int = 0) -> tuple[str, str]:
    """Runs the verb; its output and what it says beside."""
    command = [str(PROGRAM), "log", *map(str, arguments)]
    done = subprocess.run(command, input=given, capture_output=True, check=False, timeout=VERB_SECONDS)
    assert done.returncode == code, done.stderr.decode()
    return done.stdout.decode(), done.stderr.decode()


def stats(root: Path, topic: str) -> dict:
    """What a topic holds."""
    return json.loads(log("stats", root, topic, "--format", "json")[0])


def lines(first: int, count: int, width: int = 0) -> bytes:
    """Records with ids."""
    return b"".join(json.dumps({"id": at, "x": "y" * width}).encode() + b"\n" for at in range(first, first + count))


def test_topics_are_made_listed_filled_read_and_counted(tmp_path):
    root = tmp_path / "log"
    log("create", root, "t", "--partitions", 3)
    assert "already" in log("create", root, "t", code=78)[1]
    log("append", root, "other", given=b"")
    assert log("list", root)[0].split() == ["other", "t"]
    pairs = b"".join(b"k%d:v%d\n" % (at % 10, at) for at in range(1000)) + b"no key\nthe last line\xff"
    assert "1002 records appended" in log("append", root, "t", "--key-separator", ":", "--batch", 100, given=pairs)[1]
    records = [json.loads(line) for line in log("read", root, "t", "--format", "json")[0].splitlines()]
    assert len(records) == 1002
    places = {record["key"]: set() for record in records}
    for record in records:
        places[record["key"]].add(record["partition"])
    assert all(len(places[f"k{at}"]) == 1 for at in range(10)), "a key has its partition"
    of_one = [int(record["value"][1:]) for record in records if record["key"] == "k3"]
    assert of_one == list(range(3, 1000, 10)), "in order"
    assert [record["value_hex"] for record in records if "value_hex" in record] == [b"the last line\xff".hex()]
    report = stats(root, "t")
    assert sum(part["end"] for part in report["partitions"]) == 1002
    part = report["partitions"][0]
    limited = log("read", root, "t", "--partition", 0, "--from", part["end"] - 5, "--limit", 3)[0]
    assert len(limited.splitlines()) == 3
    assert "no partition 3" in log("read", root, "t", "--partition", 3, code=78)[1]
    assert "did you mean 't'" in log("stats", root, "tt", code=78)[1]


def test_retention_waits_for_who_has_not_committed(tmp_path):
    query = Query(tmp_path / "q", connector="log", path="log", topic="t", format="json")
    root = query.folder / "log"
    small = ["--segment-bytes", "10KiB", "--retention-bytes", "20KiB"]
    log("append", root, "t", *small, given=lines(0, 10))
    with query:
        query.start()
        query.until(lambda rows: len(rows) == 10)
        assert stats(root, "t")["readers"][0]["is_running"]
        assert query.stop() == 0
        for first in range(10, 1010, 100):
            log("append", root, "t", *small, given=lines(first, 100, 200))
        held = stats(root, "t")
        assert held["partitions"][0]["start"] <= 10, "ten times what is to be kept, for the reader that stands"
        assert held["readers"] == [held["readers"][0] | {"name": "events", "is_running": False, "lag": 1000}]
        query.start()
        query.until(lambda rows: len(rows) == 1010)
        wait_for(lambda: stats(root, "t")["readers"][0]["lag"], lambda lag: lag == 0, query.says)
        assert query.stop() == 0
        log("append", root, "t", *small, given=lines(1010, 100, 200))
        assert stats(root, "t")["partitions"][0]["start"] > 900
        assert sorted(row["id"] for row in query.rows()) == list(range(1010))


@pytest.mark.parametrize("goes_on", [False, True])
def test_what_was_deleted_unread_is_said(tmp_path, goes_on):
    options = {"fail_on_data_loss": "false"} if goes_on else {}
    query = Query(tmp_path / "q", connector="log", path="log", topic="t", format="json", **options)
    root = query.folder / "log"
    small = ["--segment-bytes", "10KiB", "--retention-bytes", "20KiB"]
    log("append", root, "t", *small, given=lines(0, 10))
    with query:
        query.start()
        query.until(lambda rows: len(rows) == 10)
        assert query.stop() == 0
        log("forget", root, "t", "events")
        assert "knows no reader" in log("forget", root, "t", "events", code=78)[1]
        for first in range(10, 1010, 100):
            log("append", root, "t", *small, given=lines(first, 100, 200))
        start = stats(root, "t")["partitions"][0]["start"]
        assert start > 100
        query.start("--trigger", "available-now")
        assert query.ended() == (0 if goes_on else 65)
        assert f"offsets 10 to {start} were deleted before they were read" in query.says()
        ids = [row["id"] for row in query.rows()]
        assert ids == list(range(10)) + (list(range(start, 1010)) if goes_on else [])


def test_a_torn_tail_is_cut_off_and_other_damage_is_named(tmp_path):
    root = tmp_path / "log"
    log("append", root, "t", given=lines(0, 100))
    segment = next((root / "t" / "0").glob("*.log"))
    whole = segment.read_bytes()
    with segment.open("ab") as end:
        end.write(whole[: len(whole) // 2])
    assert len(log("read", root, "t")[0].splitlines()) == 100
    log("append", root, "t", given=lines(100, 10))
    assert len(log("read", root, "t")[0].splitlines()) == 110
    damaged = bytearray(segment.read_bytes())
    damaged[200] ^= 1
    segment.write_bytes(damaged)
    told = log("read", root, "t", code=78)[1]
    assert "is damaged at byte 0: wrong checksum" in told and str(segment) in told


def test_appends_through_kills_are_whole(tmp_path):
    root = tmp_path / "log"
    log("create", root, "t", "--partitions", 2)
    for _ in range(5):
        before = sum(part["end"] for part in stats(root, "t")["partitions"])
        command = [str(PROGRAM), "log", "append", str(root), "t", "--batch", "500", "--segment-bytes", "100KiB"]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
        process.stdin.write(lines(0, 3000, 100))
        process.stdin.flush()
        wait_for(lambda: sum(part["end"] for part in stats(root, "t")["partitions"]), lambda end, b=before: end > b)
        process.kill()
        process.wait()
        process.stdin.close()
    read = log("read", root, "t")[0].splitlines()
    assert len(read) == sum(part["end"] for part in stats(root, "t")["partitions"])
    assert all(set(json.loads(line)) == {"id", "x"} for line in read)
