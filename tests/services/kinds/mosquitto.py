"""Mosquitto, an MQTT broker, from Debian's package. Gives MQTT_URL: a broker that keeps its sessions and retained
messages on disk.

Tests that kill it, or need passwords or TLS, call `Broker` themselves.
"""

import time
from pathlib import Path

from harness import Running, free_port, run_to_end, spawn, wait_for_port

START_SECONDS = 20.0
STILL_SECONDS = 0.6
POLL_SECONDS = 0.01


class Broker:
    """A broker on a loopback port, which can be killed and started again with what it has saved."""

    def __init__(self, folder: Path, *settings: str, anonymous: bool = True) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.port = free_port()
        lines = [
            f"listener {self.port} 127.0.0.1",
            f"allow_anonymous {'true' if anonymous else 'false'}",
            # as root it would become another user, who may not write here
            "user root",
            "persistence true",
            f"persistence_location {folder}/",
            # saves after each change: what a subscriber was promised is there after a kill
            "autosave_on_changes true",
            "autosave_interval 1",
            "max_queued_messages 0",
            "queue_qos0_messages true",
            *settings,
        ]
        (folder / "mosquitto.conf").write_text("\n".join(lines) + "\n", encoding="ascii")
        self.start()

    def start(self) -> None:
        """Starts it; returns once it listens."""
        log = self.folder / "mosquitto.log"
        self.process = spawn(["/usr/sbin/mosquitto", "-c", str(self.folder / "mosquitto.conf")], log)
        wait_for_port(self.port, self.process, log, START_SECONDS)

    def settle(self) -> None:
        """Waits until it has written down what it has acknowledged: until its file has not changed for a while."""
        file = self.folder / "mosquitto.db"
        deadline = time.monotonic() + START_SECONDS
        changed, since = 0, time.monotonic()
        while time.monotonic() - since < STILL_SECONDS and time.monotonic() < deadline:
            newest = file.stat().st_mtime_ns if file.exists() else 0
            if newest != changed:
                changed, since = newest, time.monotonic()
            time.sleep(POLL_SECONDS)

    def kill(self) -> None:
        """Ends it at once, as a crash does."""
        self.process.kill()
        self.process.wait()


def password_file(folder: Path, user: str, password: str) -> Path:
    """A file of one user, for the setting `password_file`."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "passwords"
    run_to_end(["mosquitto_passwd", "-c", "-b", str(path), user, password], folder / "passwd.log", START_SECONDS)
    path.chmod(0o600)
    return path


def start(folder: Path) -> Running:
    """One broker that anybody may use."""
    broker = Broker(folder)
    return Running([broker.process], {"MQTT_URL": f"mqtt://127.0.0.1:{broker.port}"})
