"""The sink `http` against a receiver in a process of its own: bodies, keys, signatures, refusals, lost answers, outages,
and kills in the middle of an epoch. The receiver counts by idempotency key, as one in production would."""

import base64
import hashlib
import hmac
import itertools
import json
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from harness import free_port, stop
from kinds.webhook import Receiver
from pipeline import Pipeline, ended
from proxy import Proxy
from test_sink_refusals import letters

COLUMNS = "id BIGINT, user STRING, amount BIGINT"
TOTALS = "SELECT user, count(*) AS n, sum(amount) AS total FROM events GROUP BY user"
WAIT_SECONDS = 30.0
ROWS = 20
QUICK = {"retry_pause_min": "10ms", "retry_pause_max": "50ms", "breaker_open": "300ms"}


@pytest.fixture
def receiver(tmp_path):
    """A receiver of the test's own."""
    receiver = Receiver(tmp_path / "receiver")
    yield receiver
    stop(receiver.process)


def events(number: int, count: int = ROWS) -> list[dict]:
    """The rows of one file."""
    return [{"id": at, "user": f"u{at % 7}", "amount": at} for at in range(number * count, (number + 1) * count)]


def append(folder: Path, url: str, query: str = "SELECT * FROM events", **more: object) -> Pipeline:
    """A pipeline that sends every event once."""
    return Pipeline(folder, COLUMNS, query, **({"connector": "http", "url": url} | QUICK | more))


def ids(receiver: Receiver) -> Counter[int]:
    """The ids that the receiver took."""
    return Counter(row["id"] for row in receiver.rows())


def due(pipeline: Pipeline, count: int = ROWS) -> Counter[int]:
    """The ids it must have, each once."""
    return Counter(range(pipeline.files * count))


def until(holds, what: str) -> None:
    """Waits for something that must come."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


@pytest.mark.parametrize("body", ["row", "array", "ndjson"])
def test_bodies_and_batches(receiver, tmp_path, body):
    pipeline = append(
        tmp_path / "p",
        receiver.url,
        body=body,
        batch_rows=8,
        method="PUT",
        **{"'headers.X-Team'": "blue", "headers.Authorization": "Bearer abc"},
    )
    pipeline.feed(*events(0))
    pipeline.feed(*events(1))
    pipeline.run()
    assert ids(receiver) == due(pipeline)
    requests = receiver.requests()
    assert len(requests) == (2 * ROWS if body == "row" else 6)
    assert len({request["key"] for request in requests}) == len(requests)
    one = requests[0]
    assert (one["method"], one["path"], one["headers"]["x-team"]) == ("PUT", "/hook", "blue")
    assert one["headers"]["authorization"] == "Bearer abc"
    assert one["type"] == ("application/x-ndjson" if body == "ndjson" else "application/json")
    if body == "row":
        assert [row["id"] for row in receiver.rows()] == list(range(2 * ROWS)), "rows keep their order"
    assert receiver.rows()[0].keys() == {"id", "user", "amount"}


def test_changed_totals_and_a_complete_result(receiver, tmp_path):
    totals = append(tmp_path / "u", receiver.url, TOTALS, output_mode="update", body="array", parallelism=4)
    for number in range(3):
        totals.feed(*events(number))
        totals.run()
    newest = {row["user"]: (row["n"], row["total"]) for row in receiver.rows()}
    everything = [event for number in range(3) for event in events(number)]
    expected = {
        f"u{user}": (len(amounts), sum(amounts))
        for user in range(7)
        if (amounts := [event["amount"] for event in everything if event["user"] == f"u{user}"])
    }
    assert newest == expected
    top = append(
        tmp_path / "c", receiver.url, TOTALS + " ORDER BY total DESC LIMIT 2", output_mode="complete", body="array"
    )
    top.feed(*events(0))
    top.run()
    best = json.loads(receiver.taken()[-1]["body"])
    assert [row["total"] for row in best] == sorted((row["total"] for row in best), reverse=True)
    refused = append(tmp_path / "r", receiver.url, TOTALS, output_mode="complete")
    refused.feed(*events(0))
    assert "body = 'array'" in refused.run(78)


def test_signatures_are_those_of_standard_webhooks(receiver, tmp_path):
    secret = bytes(range(32))
    given = "whsec_" + base64.b64encode(secret).decode()
    pipeline = append(tmp_path / "p", receiver.url, signing_secret=given)
    pipeline.feed(*events(0, 3))
    pipeline.run()
    requests = receiver.requests()
    assert len(requests) == 3
    for request in requests:
        headers = request["headers"]
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.{request['body']}".encode()
        expected = base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode()
        assert headers["webhook-signature"] == f"v1,{expected}"
        assert headers["webhook-id"] == request["key"]
        assert abs(int(headers["webhook-timestamp"]) - time.time()) < 300


def test_refusals_that_pass_are_tried_again_and_retry_after_is_obeyed(receiver, tmp_path):
    pipeline = append(tmp_path / "p", receiver.url)
    pipeline.feed(*events(0))
    receiver.next(
        {"status": 500}, {"status": 503, "retry_after": 1}, {}, {"status": 429, "retry_after": 1}, {"status": 409}
    )
    pipeline.run()
    assert ids(receiver) == due(pipeline)
    requests = receiver.requests()
    refused = [at for at, request in enumerate(requests) if request["done"] == "refused"]
    assert len(refused) == 4
    for at in refused:
        assert requests[at + 1]["key"] == requests[at]["key"], "a retry has the key of what it repeats"
    for at in (1, 3):
        assert requests[at + 1]["at"] - requests[at]["at"] >= 1.0
    # more than there is time for: it stops at once, and tells
    receiver.next({"status": 503, "retry_after": 3600})
    pipeline.feed(*events(1))
    assert "asks for a pause of 3600 s" in pipeline.run(75)
    pipeline.run()
    assert ids(receiver) == due(pipeline)


def test_what_will_never_be_taken_stops_and_names_the_row(receiver, tmp_path):
    url = receiver.url + "/s3ntinel-path"
    pipeline = append(tmp_path / "p", url, **{"headers.Authorization": "Bearer s3ntinel-token"})
    pipeline.feed(*events(0))
    receiver.next({}, {}, {"status": 422, "body": "amount is s3ntinel-token odd"})
    told = pipeline.run(65)
    assert "422" in told and "row 3 of epoch 0: amount is *** odd" in told, told
    assert "s3ntinel" not in told, told
    for status, code, word in ((401, 77, "Authorization"), (307, 78, "redirects"), (404, 78, "'url'")):
        receiver.next({"status": status})
        assert word in pipeline.run(code)
    pipeline.run()
    assert ids(receiver) == due(pipeline)


SETTING = "SET on_error = 'dead_letter';\n"
BAD = [3, 7, 19]


@pytest.mark.parametrize("parallelism", [1, 4])
def test_rows_that_are_refused_are_set_aside(receiver, tmp_path, parallelism):
    pipeline = append(tmp_path / "p", receiver.url, parallelism=parallelism)
    pipeline.sql.write_text(SETTING + pipeline.sql.read_text())
    receiver.next(always={"status": 422, "where": '"user":"bad"'})
    rows = [row | {"user": "bad"} if row["id"] in BAD else row for row in events(0)]
    pipeline.feed(*rows)
    pipeline.run()
    assert ids(receiver) == Counter(at for at in range(ROWS) if at not in BAD)
    assert sorted(row["id"] for _, _, row in letters(pipeline)) == BAD
    assert {(stage, code) for stage, code, _ in letters(pipeline)} == {("sink", "422")}
    assert not any(request["done"] == "known" for request in receiver.requests()), "what was taken is not sent again"


@pytest.mark.parametrize("step", ["plan-logged:2", "sink-staging:2", "sink-committed:1", "commit-torn:1"])
def test_a_kill_after_a_refusal_changes_nothing(receiver, tmp_path, step):
    pipeline = append(tmp_path / "p", receiver.url)
    pipeline.sql.write_text(SETTING + pipeline.sql.read_text())
    receiver.next(always={"status": 422, "where": '"user":"bad"'})
    pipeline.feed(*(row | {"user": "bad"} if row["id"] in BAD else row for row in events(0)))
    ended(pipeline.start("--trigger", "available-now", "--fault", f"{step}:kill"), -9)
    pipeline.run()
    assert ids(receiver) == Counter(at for at in range(ROWS) if at not in BAD)
    assert sorted(row["id"] for _, _, row in letters(pipeline)) == BAD


def test_answers_that_are_lost_change_nothing(receiver, tmp_path):
    with Proxy(receiver.port) as proxy:
        pipeline = append(tmp_path / "p", f"http://127.0.0.1:{proxy.port}/hook", parallelism=3)
        query = pipeline.start()
        try:
            for number in range(6):
                proxy.drop_answer_to(b"idempotency-key")
                pipeline.feed(*events(number))
                until(lambda: ids(receiver) == due(pipeline), "rows are missing")
                until(lambda lost=number: proxy.dropped > lost, "the proxy never lost an answer")
        finally:
            query.terminate()
            ended(query)
    assert ids(receiver) == due(pipeline)
    assert sum(request["done"] == "known" for request in receiver.requests()) >= 6


def test_connections_that_break_and_answers_that_hang(receiver, tmp_path):
    pipeline = append(tmp_path / "p", receiver.url, timeout="300ms", body="array", batch_rows=5)
    pipeline.feed(*events(0))
    receiver.next({"drop": "before"}, {"drop": "after"}, {"drop": "after"}, {"hang": 2.0})
    pipeline.run()
    assert ids(receiver) == due(pipeline)
    done = Counter(request["done"] for request in receiver.requests())
    assert done["dropped"] == 1 and done["known"] == 3, done


@pytest.mark.parametrize(("query", "more"), [("SELECT * FROM events", {}), (TOTALS, {"output_mode": "update"})])
@pytest.mark.parametrize("body", ["row", "array"])
def test_the_program_is_killed_in_the_middle_of_epochs(receiver, tmp_path, query, more, body):
    pipeline = append(tmp_path / "p", receiver.url, query, body=body, batch_rows=2, **more)
    for number in range(4):
        pipeline.feed(*events(number))
        # the second request of the epoch is taken, and its answer never comes
        before = len(receiver.requests())
        receiver.next({}, {"hang": 60.0})
        # another parallelism gives the rows of groups in another order
        running = pipeline.start("--trigger", "processing-time 5ms", "--set", f"parallelism={1 + number % 2}")
        until(lambda sent=before: len(receiver.requests()) >= sent + 2, "nothing was sent")
        running.kill()
        running.communicate()
        receiver.next()
        if number % 2:
            pipeline.run()
    pipeline.run()
    known = sum(request["done"] == "known" for request in receiver.requests())
    assert known >= 8, "each kill leaves two requests that are sent again"
    if query == TOTALS:
        newest = {row["user"]: (row["n"], row["total"]) for row in receiver.rows()}
        assert sum(n for n, _ in newest.values()) == 4 * ROWS
        assert sum(total for _, total in newest.values()) == sum(range(4 * ROWS))
        each = Counter((row["user"], row["n"]) for row in receiver.rows())
        assert max(each.values()) == 1, "a total was taken twice"
    else:
        assert ids(receiver) == due(pipeline)


def probes(receiver: Receiver) -> int:
    """Requests that came alone, after a pause as long as a breaker is open."""
    at = [request["at"] for request in receiver.requests()]
    return sum(later - earlier >= 0.5 for earlier, later in itertools.pairwise(at))


def test_the_breaker_leaves_a_receiver_that_fails_alone(receiver, tmp_path):
    calls, under_way = 20, 16
    pipeline = append(
        tmp_path / "p",
        receiver.url,
        parallelism=under_way,
        breaker_calls=calls,
        breaker_open="500ms",
        retry_pause_max="20ms",
    )
    pipeline.feed(*events(0, 100))
    receiver.next(always={"status": 500})
    page = free_port()
    query = pipeline.start("--trigger", "processing-time 5ms", "--listen", f"127.0.0.1:{page}")
    try:
        until(lambda: len(receiver.requests()) >= calls, "nothing was sent")
        until(lambda: probes(receiver) >= 3, "no probe was sent")
        metrics = urllib.request.urlopen(f"http://127.0.0.1:{page}/metrics", timeout=10).read().decode()
        shown = {
            line.split()[0]: float(line.split()[1])
            for line in metrics.splitlines()
            if "tidemill_sink_" in line and line[0] != "#"
        }
        of = 'query="p",sink="out"'
        assert shown[f'tidemill_sink_breaker{{{of},state="closed"}}'] == 0
        assert shown[f"tidemill_sink_retries_total{{{of}}}"] >= 3
        failed = receiver.requests()
        # those that open it, those that are under way then, and one each half second
        assert len(failed) <= calls + under_way + (failed[-1]["at"] - failed[0]["at"]) / 0.5, len(failed)
        receiver.next()
        until(lambda: ids(receiver) == due(pipeline, 100), "it did not recover")
    finally:
        query.terminate()
        told = ended(query)
    assert "breaker open" in told and "closed" in told, told
    assert sum(request["done"] == "refused" for request in receiver.requests()) <= len(failed) + 1


def test_retries_are_a_part_of_the_requests(receiver, tmp_path):
    pipeline = append(tmp_path / "p", receiver.url, parallelism=20, breaker_calls=0, retry_timeout="2 seconds")
    pipeline.feed(*events(0, 200))
    receiver.next(always={"status": 500})
    assert "tried" in pipeline.run(75)
    # the 20 requests under way, as many retries that were saved up, a fifth of the requests, and one a second
    assert 40 <= len(receiver.requests()) <= 20 + 20 + 4 + 4, len(receiver.requests())
    receiver.next()
    pipeline.run()
    assert ids(receiver) == due(pipeline, 200)


def test_a_receiver_that_is_killed_and_comes_back(receiver, tmp_path):
    pipeline = append(tmp_path / "p", receiver.url, retry_timeout="1 second")
    query = pipeline.start()
    try:
        pipeline.feed(*events(0))
        until(lambda: ids(receiver) == due(pipeline), "rows are missing")
        receiver.kill()
        pipeline.feed(*events(1))
        receiver.start()
        until(lambda: ids(receiver) == due(pipeline), "rows are missing")
    finally:
        query.terminate()
        ended(query)
    receiver.kill()
    pipeline.feed(*events(2))
    assert "cannot connect" in pipeline.run(75)
    receiver.start()
    pipeline.run()
    assert ids(receiver) == due(pipeline)


def test_tls_is_verified(tmp_path):
    (tmp_path / "names").write_text("subjectAltName = IP:127.0.0.1\nbasicConstraints = CA:FALSE\n")
    made = [
        "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=authority -keyout ca.key -out ca.pem",
        "req -newkey rsa:2048 -nodes -subj /CN=localhost -keyout server.key -out server.csr",
        "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out server.crt",
    ]
    for command in made:
        subprocess.run(["openssl", *command.split()], cwd=tmp_path, check=True, capture_output=True)
    pem = tmp_path / "server.pem"
    pem.write_text((tmp_path / "server.crt").read_text() + (tmp_path / "server.key").read_text())
    receiver = Receiver(tmp_path / "receiver", pem)
    try:
        unknown = append(tmp_path / "unknown", receiver.url)
        unknown.feed(*events(0))
        assert "ssl_ca_location" in unknown.run(77)
        known = append(tmp_path / "known", receiver.url, ssl_ca_location=tmp_path / "ca.pem")
        known.feed(*events(0))
        known.run()
        assert ids(receiver) == due(known)
    finally:
        stop(receiver.process)
