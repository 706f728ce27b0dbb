"""Services that scenarios share: each is started when the first scenario asks for it, and ends with the run."""

import contextlib
import tempfile
from pathlib import Path

import services


class Pool:
    """Addresses of running services."""

    def __init__(self, cleanup: contextlib.ExitStack) -> None:
        self._cleanup = cleanup
        self._running: dict[str, dict[str, str]] = {}
        self._made: dict[type, object] = {}

    def settings(self, kind: str) -> dict[str, str]:
        """What a kind of tests/services tells of itself, such as {"KAFKA_BOOTSTRAP": ..}."""
        if kind not in self._running:
            self._running[kind] = self._cleanup.enter_context(services.running([kind]))
        return self._running[kind]

    def shared(self, kind: type):
        """The one object of a class that is made with a folder of its own and has `close`."""
        if kind not in self._made:
            folder = self._cleanup.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
            self._made[kind] = made = kind(Path(folder))
            self._cleanup.callback(made.close)
        return self._made[kind]
