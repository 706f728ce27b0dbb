"""The source `webhook`: fed with curl and by threads that retry as senders do, through kills; what it refuses."""

import hashlib
import hmac
import http.client
import json
import random
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))

from pushed import Query, wait_for

sys.path.insert(0, str(Path(__file__).parent.parent.parent / "services"))

from harness import free_port

SECRET = "s3ntinel-of-the-webhook"
REQUEST_SECONDS = 20


def webhook(folder: Path, **table: object) -> tuple[Query, int]:
    """A query over a webhook on a free port."""
    port = free_port()
    options = {"connector": "webhook", "log": "log", "listen": f"127.0.0.1:{port}", "format": "json"}
    table = {name: value for name, value in (options | table).items() if value is not None}
    select, columns = table.pop("select", "*"), table.pop("columns", "(id BIGINT)")
    return Query(folder, select=select, columns=columns, **table), port


def listens(port: int) -> None:
    """Waits until the port is open."""

    def is_open() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    wait_for(is_open, bool)


def curl(port: int, *arguments: str, data: str | bytes | None = None, path: str = "/") -> tuple[int, str, str]:
    """Posts with curl; gives status, headers and body."""
    command = ["curl", "-sS", "-i", "-m", str(REQUEST_SECONDS), f"http://127.0.0.1:{port}{path}", *arguments]
    if data is not None:
        command += ["--data-binary", "@-"]
        data = data.encode() if isinstance(data, str) else data
    done = subprocess.run(command, input=data, capture_output=True, check=False)
    head, _, body = done.stdout.decode().replace("\r\n", "\n").rpartition("\n\n")
    assert head, done.stderr.decode()
    return int(head.splitlines()[0].split()[1]), head, body


def post(port: int, body: bytes, headers: dict[str, str], path: str = "/") -> int:
    """Posts once; the status, or 0 when there is no answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=REQUEST_SECONDS)
    try:
        connection.request("POST", path, body, headers)
        return connection.getresponse().status
    except OSError:
        return 0
    except http.client.HTTPException:
        return 0
    finally:
        connection.close()


def sent(query: Query) -> Counter:
    """The ids that are committed."""
    return Counter(row["id"] for row in query.rows())


def test_values_arrays_and_lines_of_curl_become_rows(tmp_path):
    query, port = webhook(tmp_path / "json")
    with query:
        query.start()
        listens(port)
        status, _, body = curl(port, data='{"id": 1}')
        assert (status, json.loads(body)) == (202, {"records": 1, "duplicate": False})
        status, _, body = curl(port, data='[{"id": 2}, {"id": 3}]', path="/?wait=commit")
        assert (status, json.loads(body)) == (200, {"records": 2, "duplicate": False, "committed": True})
        assert sent(query) == Counter([1, 2, 3]), "what was waited for is committed"
        assert query.stop() == 0
    query, port = webhook(tmp_path / "lines", body="ndjson", url_path="/in")
    with query:
        query.start()
        listens(port)
        assert curl(port, data='{"id": 1}\n\n{"id": 2}\n', path="/in?wait=commit")[0] == 200
        assert sent(query) == Counter([1, 2])


def test_bytes_keys_and_headers_are_columns(tmp_path):
    query, port = webhook(
        tmp_path / "raw",
        format=None,
        columns="",
        body="raw",
        headers="X-Kind, X-None",
        key_header="X-User",
        partitions=3,
        select="CAST(value AS STRING) AS value, CAST(key AS STRING) AS key, topic, headers[0].key AS name, "
        "CAST(headers[0].value AS STRING) AS kind, headers IS NULL AS bare",
    )
    with query:
        query.start()
        listens(port)
        assert curl(port, "-H", "X-User: ann", "-H", "X-Kind: a", data="no JSON", path="/?wait=commit")[0] == 200
        assert curl(port, data="bare", path="/?wait=commit")[0] == 200
        rich, bare = sorted(query.rows(), key=lambda row: row["bare"])
        assert rich == {
            "value": "no JSON",
            "key": "ann",
            "topic": "events",
            "name": "x-kind",
            "kind": "a",
            "bare": False,
        }
        assert (bare["value"], bare["bare"]) == ("bare", True)


def test_what_is_refused_and_no_secret_is_told(tmp_path):
    query, port = webhook(
        tmp_path / "refusing",
        signature="hex",
        signature_secret=SECRET,
        bearer_token=f"{SECRET}-token",
        body_bytes_max="1KiB",
        json_depth_max=5,
        body_timeout="300ms",
    )
    metrics = free_port()
    with query:
        query.start("--trigger", "processing-time 5ms", "--listen", f"127.0.0.1:{metrics}", "-v", "-v")
        listens(port)

        def signed(body: str, *arguments: str, token: str = f"{SECRET}-token", path: str = "/?wait=commit"):
            mac = hmac.new(SECRET.encode(), body.encode(), hashlib.sha256).hexdigest()
            given = ["-H", f"Authorization: Bearer {token}", "-H", f"X-Hub-Signature-256: sha256={mac}"]
            return curl(port, *given, *arguments, data=body, path=path)

        assert signed('{"id": 1}')[0] == 200
        status, head, _ = signed('{"id": 2}', token="other")
        assert status == 401 and "www-authenticate: Bearer" in head
        wrong = ["-H", f"Authorization: Bearer {SECRET}-token", "-H", "X-Hub-Signature-256: sha256=00"]
        assert curl(port, *wrong, data='{"id": 3}')[0] == 401
        assert curl(port, *wrong[:2], data='{"id": 4}')[0] == 401, "no signature"
        assert signed(json.dumps({"id": 5, "x": "y" * 1100}))[0] == 413
        assert signed(json.dumps({"id": 5, "x": "y" * 1100}), "-H", "Transfer-Encoding: chunked")[0] == 413
        assert signed('{"id": 6, "x": [[[[[1]]]]]}')[0] == 400
        assert signed("[" * 500)[0] == 400
        assert signed('{"id": 7')[0] == 400
        assert signed('{"id": 8}', path="/?wait=forever")[0] == 400
        assert signed('{"id": 8}', path="/else")[0] == 404
        assert signed('{"id": 8}', "-H", "Content-Encoding: gzip")[0] == 415
        status, head, _ = curl(port)
        assert status == 405 and "allow: POST" in head
        assert slow_body(port, f"{SECRET}-token").startswith("HTTP/1.1 408")
        assert signed('{"id": 9}')[0] == 200, "it is there as before"
        with urllib.request.urlopen(f"http://127.0.0.1:{metrics}/metrics", timeout=REQUEST_SECONDS) as page:
            assert SECRET not in page.read().decode()
        assert query.stop() == 0
        assert sent(query) == Counter([1, 9])
        assert query.holds_text(SECRET) == []
        assert "webhook listens" in query.says()


def slow_body(port: int, token: str) -> str:
    """The answer to a body that never comes to its end."""
    with socket.create_connection(("127.0.0.1", port), timeout=REQUEST_SECONDS) as link:
        head = f"POST / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\nContent-Length: 100\r\n\r\n"
        link.sendall(head.encode() + b'{"id":')
        return link.recv(4096).decode()


def test_a_delivery_that_comes_a_hundred_times_is_one(tmp_path):
    query, port = webhook(tmp_path / "once", idempotency_window="1 hour")
    with query:
        query.start()
        listens(port)
        with ThreadPoolExecutor(25) as senders:
            same = [senders.submit(post, port, b'{"id": 1}', {"Idempotency-Key": "k"}) for _ in range(100)]
            assert {each.result() for each in same} == {202}
        query.kill()
        query.start()
        listens(port)
        status, _, body = curl(port, "-H", "Idempotency-Key: k", data='{"id": 1}', path="/?wait=commit")
        assert (status, json.loads(body)["duplicate"]) == (200, True)
        assert curl(port, "-H", "Idempotency-Key: l", data='{"id": 2}', path="/?wait=commit")[0] == 200
        assert sent(query) == Counter([1, 2])


def test_too_much_that_is_not_committed_gets_429(tmp_path):
    query, port = webhook(
        tmp_path / "behind", backlog_bytes_max="10KiB", body="raw", format=None, columns="", select="offset"
    )
    with query:
        query.start("--trigger", "processing-time 1 hour")
        listens(port)

        def until_behind() -> tuple[int, str, str]:
            return curl(port, data="x" * 1000)

        status, head, _ = wait_for(until_behind, lambda answer: answer[0] == 429)
        assert "retry-after: 5" in head
        query.kill()
        query.start()
        listens(port)
        wait_for(lambda: curl(port, data="y")[0], lambda status: status == 202)


def test_a_sender_hears_of_its_commit_while_others_go_on(tmp_path):
    query, port = webhook(tmp_path / "steady", wait_timeout="20 seconds")
    stop = threading.Event()

    def send() -> None:
        while not stop.is_set():
            post(port, b'{"id": 0}', {})

    with query, ThreadPoolExecutor(3) as senders:
        query.start("--trigger", "processing-time 100ms")
        listens(port)
        for _ in range(3):
            senders.submit(send)
        try:
            for number in range(1, 6):
                status, _, body = curl(port, data=json.dumps({"id": number}), path="/?wait=commit")
                assert (status, json.loads(body)["committed"]) == (200, True)
                assert number in {row["id"] for row in query.rows()}
        finally:
            stop.set()


def test_senders_that_retry_lose_nothing_and_double_nothing_through_kills(tmp_path):
    dice = random.Random(tmp_path.name)
    query, port = webhook(tmp_path / "killed", partitions=2, segment_bytes="64KiB")
    answered: list[int] = []
    stop = threading.Event()
    numbers = iter(range(1_000_000))
    taking = threading.Lock()

    def send() -> None:
        while not stop.is_set():
            with taking:
                number = next(numbers)
            while post(port, b'{"id": %d}' % number, {"Idempotency-Key": f"d-{number}"}) != 202:
                time.sleep(0.01)
            answered.append(number)

    with query, ThreadPoolExecutor(6) as senders:
        query.start()
        listens(port)
        running = [senders.submit(send) for _ in range(6)]
        try:
            for _ in range(6):
                goal = len(answered) + dice.randrange(5, 150)
                wait_for(lambda: len(answered), goal.__le__, query.says)
                query.kill()
                query.start()
            wait_for(lambda: len(answered), (goal + 200).__le__, query.says)
        finally:
            stop.set()
        for each in running:
            each.result(timeout=60)
        wanted = set(answered)
        query.until(lambda rows: {row["id"] for row in rows} >= wanted)
        assert query.stop() == 0
        assert sent(query) == Counter(answered), "each that was answered, once"


def test_https_and_addresses_that_anybody_reaches(tmp_path):
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    subprocess.run(
        [*command, "-days", "2", *subject, "-keyout", key, "-out", certificate], check=True, capture_output=True
    )
    query, port = webhook(tmp_path / "tls", ssl_certificate_location=certificate, ssl_key_location=key)
    with query:
        query.start()
        listens(port)
        connection = http.client.HTTPSConnection(
            "localhost", port, context=ssl.create_default_context(cafile=certificate), timeout=REQUEST_SECONDS
        )
        connection.request("POST", "/?wait=commit", b'{"id": 1}')
        assert connection.getresponse().status == 200
        connection.close()
        assert query.stop() == 0
        assert sent(query) == Counter([1])
    query, _ = webhook(tmp_path / "open", listen=f"0.0.0.0:{port}")
    with query:
        query.start()
        assert query.ended() == 78
        assert "bearer_token" in query.says()


@pytest.mark.parametrize("given", ["listen", "log"])
def test_a_second_query_of_the_same_webhook_is_refused(tmp_path, given):
    query, port = webhook(tmp_path / "first")
    options = {"listen": {"listen": f"127.0.0.1:{port}"}, "log": {"log": tmp_path / "first" / "log"}}[given]
    other, _ = webhook(tmp_path / "second", **options)
    with query, other:
        query.start()
        listens(port)
        other.start()
        assert other.ended() == {"listen": 74, "log": 76}[given]
        assert {"listen": "see option 'listen'", "log": "already writes topic"}[given] in other.says()
