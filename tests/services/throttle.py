"""A Kinesis endpoint before another one, which refuses some records as a throttled shard does. moto does not throttle,
and a real stream does not do it when a test wants it.

    with Throttle(endpoint, refuses) as throttle: ...    throttle.endpoint, throttle.refused, throttle.requests

`refuses(record)` says whether a record of PutRecords (as it came, JSON) is refused this time.
"""

import json
import threading
import urllib.request
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

THROTTLED = "ProvisionedThroughputExceededException"


class Throttle:
    """Answers on a loopback port until it is closed."""

    def __init__(self, endpoint: str, refuses: Callable[[dict], bool]) -> None:
        self.target = endpoint
        self.refuses = refuses
        self.refused = 0
        self.requests: list[int] = []
        """How many records each request had."""
        throttle = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                throttle.answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def __enter__(self) -> "Throttle":
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """Passes a request on, without the records that are refused."""
        body = handler.rfile.read(int(handler.headers["Content-Length"]))
        headers = {
            name: value for name, value in handler.headers.items() if name.lower() not in ("host", "content-length")
        }
        if handler.headers.get("X-Amz-Target", "").endswith(".PutRecords"):
            status, content = self.put(json.loads(body), headers)
        else:
            status, content = self.passed_on(body, headers)
        handler.send_response(status)
        handler.send_header("Content-Type", "application/x-amz-json-1.1")
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)

    def put(self, asked: dict, headers: dict) -> tuple[int, bytes]:
        """PutRecords: what is refused has an error, all else the answer of the target."""
        records = asked["Records"]
        self.requests.append(len(records))
        refused = [self.refuses(record) for record in records]
        self.refused += sum(refused)
        taken = [record for record, is_refused in zip(records, refused, strict=True) if not is_refused]
        results: list[dict] = []
        if taken:
            status, content = self.passed_on(json.dumps({**asked, "Records": taken}).encode(), headers)
            if status != 200:
                return status, content
            results = json.loads(content)["Records"]
        error = {"ErrorCode": THROTTLED, "ErrorMessage": "Rate exceeded for shard"}
        answers = iter(results)
        merged = [error if is_refused else next(answers) for is_refused in refused]
        return 200, json.dumps({"FailedRecordCount": sum(refused), "Records": merged}).encode()

    def passed_on(self, body: bytes, headers: dict) -> tuple[int, bytes]:
        """What the target answers."""
        request = urllib.request.Request(self.target, data=body, headers=headers, method="POST")
        try:
            with urllib.request.urlopen(request) as answer:  # noqa: S310
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()
