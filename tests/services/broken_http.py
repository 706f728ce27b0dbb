"""An HTTP proxy on a loopback port that breaks answers as object stores do.

    with BrokenHttp(server_port, every=7, breaks=["503", "429", "timeout-after"]) as proxy:
        ...                                   every 7th request of those that `matches` meets the next of the breaks
        proxy.met                             how often each did

A break is a status that is answered while nothing is done ("500", "503", "429", "409"), or one of

    reset            the connection ends before anything is done
    timeout-after    it is done, and the connection ends without an answer
    exists-after     it is done, and the answer is 412: the object is there
    slow             it is done, and the answer comes late

Must not know which program asks.
"""

import http.client
import itertools
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SLOW_SECONDS = 0.4
RESET = struct.pack("ii", 1, 0)
# of one connection only
HOP = {"connection", "keep-alive", "transfer-encoding", "date", "server"}


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Programs that are killed end their connections."""


class BrokenHttp:
    """Carries requests to a loopback port, some of them badly."""

    def __init__(
        self,
        server_port: int,
        breaks: list[str],
        every: int = 5,
        matches: Callable[[str, str], bool] = lambda _method, _path: True,
        latency_seconds: float = 0.0,
    ) -> None:
        self.server_port, self.latency_seconds = server_port, latency_seconds
        self.met: Counter[str] = Counter()
        self.requests: Counter[str] = Counter()
        self._breaks, self._every, self._matches = itertools.cycle(breaks or [""]), every if breaks else 0, matches
        self._asked = 0
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), self._handler())
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> "BrokenHttp":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def next_break(self, method: str, path: str) -> str:
        """What happens to a request; nothing to most."""
        with self._lock:
            self.requests[method] += 1
            if not self._every or not self._matches(method, path):
                return ""
            self._asked += 1
            if self._asked % self._every:
                return ""
            broken = next(self._breaks)
            self.met[broken] += 1
            return broken

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                if proxy.latency_seconds:
                    time.sleep(proxy.latency_seconds)
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                broken = proxy.next_break(self.command, self.path)
                if broken.isdigit():
                    self.answer(int(broken), [], b"<Error><Code>Planted</Code></Error>")
                elif broken == "reset":
                    self.end()
                else:
                    status, headers, content = self.carried(body)
                    if broken == "timeout-after":
                        self.end()
                        return
                    if broken == "exists-after":
                        status, content = 412, b"<Error><Code>PreconditionFailed</Code></Error>"
                    if broken == "slow":
                        time.sleep(SLOW_SECONDS)
                    self.answer(status, headers, content)

            do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = handle_any  # noqa: N815

            def carried(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
                server = http.client.HTTPConnection("127.0.0.1", proxy.server_port, timeout=60)
                headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP}
                server.request(self.command, self.path, body, headers)
                answer = server.getresponse()
                content = answer.read()
                server.close()
                return answer.status, answer.getheaders(), content

            def answer(self, status: int, headers: list[tuple[str, str]], content: bytes) -> None:
                self.send_response_only(status)
                length = str(len(content))
                for name, value in headers:
                    if name.lower() == "content-length":
                        # of an answer to HEAD it is the object's
                        length = value if self.command == "HEAD" else length
                    elif name.lower() not in HOP:
                        self.send_header(name, value)
                self.send_header("Content-Length", length)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(content)

            def end(self) -> None:
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                self.close_connection = True
                self.connection.close()

            def log_message(self, *_: object) -> None:
                pass

        return Handler
