"""Sources that are pushed at: the webhook with curl, MQTT with mosquitto_pub on a Mosquitto that asks for a password."""

import hashlib
import socket
import subprocess
import time
from pathlib import Path

from harness import free_port, stop
from kinds import mosquitto
from place import Place, Subject

SECONDS = 30
POLL_SECONDS = 0.05
BROKEN = b'{"lane": 0, "number": "no'
SECRET = "s3ntinel-of-the-sender"


class Url(Place):
    """An address; a record a request, any bytes."""

    is_pushed = True
    secrets = (SECRET,)

    def __init__(self) -> None:
        self.port = free_port()
        self.options = {
            "connector": "webhook",
            "log": "log",
            "listen": f"127.0.0.1:{self.port}",
            "body": "raw",
            "bearer_token": SECRET,
            "format": "json",
        }

    def post(self, body: bytes) -> None:
        """Posts with curl, again and again with one key as senders do, until it is answered that the record is durable."""
        command = ["curl", "-sS", "-m", str(SECONDS), "-o", "/dev/null", "-w", "%{http_code}", "--data-binary", "@-"]
        command += [
            "-H",
            f"Authorization: Bearer {SECRET}",
            "-H",
            f"Idempotency-Key: {hashlib.sha256(body).hexdigest()}",
        ]
        deadline = time.monotonic() + 2 * SECONDS
        while time.monotonic() < deadline:
            done = subprocess.run(
                [*command, f"http://127.0.0.1:{self.port}/"], input=body, capture_output=True, check=False
            )
            if done.stdout == b"202":
                return
            time.sleep(POLL_SECONDS)
        raise AssertionError(f"not taken: {done}")

    def feed(self, texts: list[str]) -> None:
        for text in texts:
            self.post(text.encode())

    def spoil(self) -> tuple[bytes, str] | None:
        self.post(BROKEN)
        return BROKEN, "events"

    def is_ready(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


class Webhook(Subject):
    """It has no system: the query listens itself."""

    name = "webhook"

    def __init__(self, folder: Path) -> None:
        """Nothing is needed."""

    def place(self, name: str) -> Place:
        return Url()

    def close(self) -> None:
        """Nothing is left."""


class Messages(Place):
    """A topic, and a session of its own."""

    secrets = (SECRET,)

    def __init__(self, port: int, name: str) -> None:
        self.port, self.name = port, name
        self.options = {
            "connector": "mqtt",
            "log": "log",
            "url": f"mqtt://127.0.0.1:{port}",
            "client_id": name,
            "topic": f"{name}/#",
            "username": "mill",
            "password": SECRET,
            "idempotency_property": "key",
            "format": "json",
        }
        # the session: what comes from now on is kept for it
        known = [
            "mosquitto_sub",
            "-V",
            "mqttv5",
            "-p",
            str(port),
            "-u",
            "mill",
            "-P",
            SECRET,
            "-i",
            name,
            "-c",
            "-q",
            "1",
        ]
        known += ["-t", f"{name}/#", "-x", "3600", "-E"]
        subprocess.run(known, check=True, capture_output=True, timeout=SECONDS)

    def publish(self, payload: bytes) -> None:
        """Publishes with mosquitto_pub, with a key: a broker sends again what was not acknowledged before a kill."""
        command = ["mosquitto_pub", "-V", "mqttv5", "-p", str(self.port), "-u", "mill", "-P", SECRET, "-q", "1", "-s"]
        command += [
            "-t",
            f"{self.name}/a",
            "-D",
            "publish",
            "user-property",
            "key",
            hashlib.sha256(payload).hexdigest(),
        ]
        subprocess.run(command, input=payload, check=True, capture_output=True, timeout=SECONDS)

    def feed(self, texts: list[str]) -> None:
        for text in texts:
            self.publish(text.encode())

    def spoil(self) -> tuple[bytes, str] | None:
        self.publish(BROKEN)
        return BROKEN, "events"


class Mqtt(Subject):
    """The broker."""

    name = "mqtt"

    def __init__(self, folder: Path) -> None:
        passwords = mosquitto.password_file(folder / "passwords", "mill", SECRET)
        self.broker = mosquitto.Broker(folder / "broker", f"password_file {passwords}", anonymous=False)

    def place(self, name: str) -> Place:
        return Messages(self.broker.port, name)

    def close(self) -> None:
        stop(self.broker.process)
