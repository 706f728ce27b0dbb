"""A receiver of webhooks from Python's standard library. Gives WEBHOOK_URL.

It takes each idempotency key once, and keeps what it took in a file, so that it can be killed and started again.
`Receiver.next` says how the next requests are treated:

    {"status": 503, "retry_after": 1}    refuse
    {"status": 422, "where": "text"}     refuse what holds the text, take what does not
    {"drop": "before"} {"drop": "after"} close the connection, before or after the rows are taken
    {"hang": 2.5}                        take the rows, and answer so many seconds later

Run as a program it is the server.
"""

import argparse
import json
import ssl
import sys
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

START_SECONDS = 20.0
KEY = "Idempotency-Key"


class Receiver:
    """The server, in a process and a folder of its own."""

    def __init__(self, folder: Path, certificate: Path | None = None) -> None:
        from harness import free_port

        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.port = free_port()
        self.control = free_port()
        self.certificate = certificate
        self.url = f"{'https' if certificate else 'http'}://127.0.0.1:{self.port}/hook"
        self.start()

    def start(self) -> None:
        """Starts it; returns once it listens."""
        from harness import spawn, wait_for_port

        log = self.folder / "webhook.log"
        command = [sys.executable, str(Path(__file__).resolve()), str(self.folder), str(self.port), str(self.control)]
        if self.certificate:
            command += ["--certificate", str(self.certificate)]
        self.process = spawn(command, log)
        wait_for_port(self.port, self.process, log, START_SECONDS)
        wait_for_port(self.control, self.process, log, START_SECONDS)

    def kill(self) -> None:
        """Ends it at once, as a crash does."""
        self.process.kill()
        self.process.wait()

    def next(self, *treatments: dict, always: dict | None = None) -> None:
        """Treats the next requests so, and all after them as `always`."""
        body = json.dumps({"next": treatments, "always": always}).encode()
        urllib.request.urlopen(f"http://127.0.0.1:{self.control}/", data=body, timeout=10).read()

    def requests(self) -> list[dict]:
        """All requests since the start of the process: key, headers, body, what was done."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.control}/", timeout=10) as answer:
            return json.load(answer)

    def taken(self) -> list[dict]:
        """What was taken, in its order: one entry a key."""
        file = self.folder / "taken"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def rows(self) -> list:
        """The rows of what was taken."""
        rows = []
        for letter in self.taken():
            body = letter["body"]
            if letter["type"] == "application/x-ndjson":
                rows += [json.loads(line) for line in body.splitlines()]
            else:
                value = json.loads(body)
                rows += value if isinstance(value, list) else [value]
        return rows


def start(folder: Path):
    """A receiver that takes everything."""
    from harness import Running

    receiver = Receiver(folder)
    return Running([receiver.process], {"WEBHOOK_URL": receiver.url})


class Desk:
    """What the server knows, shared by its threads."""

    def __init__(self, folder: Path) -> None:
        self.lock = threading.Lock()
        self.file = (folder / "taken").open("a+", encoding="utf-8")
        self.file.seek(0)
        self.keys = {json.loads(line)["key"] for line in self.file}
        self.requests: list[dict] = []
        self.treatments: list[dict] = []
        self.always: dict = {}

    def treatment(self) -> dict:
        """How the request that has just come is treated."""
        with self.lock:
            return self.treatments.pop(0) if self.treatments else self.always

    def note(self, request: dict, done: str) -> None:
        """Remembers a request."""
        with self.lock:
            self.requests.append(request | {"done": done})

    def take(self, request: dict) -> str:
        """Takes what has a new key, or none."""
        key = request["key"]
        with self.lock:
            if key is not None and key in self.keys:
                return "known"
            self.keys.add(key)
            self.file.write(json.dumps(request) + "\n")
            self.file.flush()
            return "taken"


class Hook(BaseHTTPRequestHandler):
    """Where webhooks come in."""

    protocol_version = "HTTP/1.1"
    desk: Desk

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        request = {
            "method": self.command,
            "path": self.path,
            "key": self.headers.get(KEY),
            "type": self.headers.get("Content-Type"),
            "headers": {name.lower(): value for name, value in self.headers.items()},
            "body": body,
            "at": time.monotonic(),
        }
        treatment = self.desk.treatment()
        if treatment.get("drop") == "before":
            self.desk.note(request, "dropped")
            self.close_connection = True
            return
        if "status" in treatment and treatment.get("where", "") in body:
            self.desk.note(request, "refused")
            self.answer(treatment["status"], treatment.get("body", "not now"), treatment.get("retry_after"))
            return
        self.desk.note(request, self.desk.take(request))
        if treatment.get("drop") == "after":
            self.close_connection = True
            return
        time.sleep(treatment.get("hang", 0))
        self.answer(200, "thanks")

    do_PUT = do_POST

    def answer(self, status: int, said: str, retry_after: object = None) -> None:
        """Sends an answer."""
        body = said.encode()
        self.send_response(status)
        if retry_after is not None:
            self.send_header("Retry-After", str(retry_after))
        if 300 <= status < 400:
            self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Control(BaseHTTPRequestHandler):
    """Where tests say what is to happen, and ask what has."""

    desk: Desk

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.desk.lock:
            self.desk.treatments, self.desk.always = asked["next"], asked["always"] or {}
        self.reply([])

    def do_GET(self) -> None:
        with self.desk.lock:
            self.reply(self.desk.requests)

    def reply(self, value: object) -> None:
        """Answers with JSON."""
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(value).encode())


def main() -> None:
    """Serves until killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("port", type=int)
    parser.add_argument("control", type=int)
    parser.add_argument("--certificate", type=Path, help="certificate and key, PEM")
    given = parser.parse_args()
    Hook.desk = Control.desk = Desk(given.folder)
    hooks = ThreadingHTTPServer(("127.0.0.1", given.port), Hook)
    if given.certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(given.certificate)
        hooks.socket = context.wrap_socket(hooks.socket, server_side=True)
    control = ThreadingHTTPServer(("127.0.0.1", given.control), Control)
    threading.Thread(target=control.serve_forever, daemon=True).start()
    hooks.serve_forever()


if __name__ == "__main__":
    main()
