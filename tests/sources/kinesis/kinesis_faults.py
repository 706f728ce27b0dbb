"""A Kinesis endpoint before another one, which answers some requests as Kinesis does on a bad day.

    with Faults(endpoint, fault) as faults: ...    faults.endpoint, faults.fired, faults.asked, faults.records

`fault(action)` gives the code of an error for a request, or `None` to pass it on. `faults.records` are those that were
given out.
"""

import json
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler

from throttle import Throttle


class Faults(Throttle):
    """Answers on a loopback port until it is closed."""

    def __init__(self, endpoint: str, fault: Callable[[str], str | None]) -> None:
        self.fault = fault
        self.fired: Counter[str] = Counter()
        self.asked: Counter[str] = Counter()
        self.records = 0
        super().__init__(endpoint, lambda _: False)

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """Passes a request on, or not."""
        body = handler.rfile.read(int(handler.headers["Content-Length"]))
        action = handler.headers.get("X-Amz-Target", "").rsplit(".", 1)[-1]
        self.asked[action] += 1
        code = self.fault(action)
        if code is None:
            left = ("host", "content-length")
            headers = {name: value for name, value in handler.headers.items() if name.lower() not in left}
            status, content = self.passed_on(body, headers)
            if action == "GetRecords" and status == 200:
                self.records += len(json.loads(content)["Records"])
        else:
            self.fired[code] += 1
            status, content = 400, json.dumps({"__type": code, "message": "on purpose"}).encode()
        try:
            handler.send_response(status)
            handler.send_header("Content-Type", "application/x-amz-json-1.1")
            handler.send_header("Content-Length", str(len(content)))
            handler.end_headers()
            handler.wfile.write(content)
        except ConnectionError:
            # who asked was killed
            pass
