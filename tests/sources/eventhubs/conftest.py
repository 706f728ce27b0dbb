"""Fixtures of these tests: those of Kafka's, since Event Hubs is read over its Kafka endpoint."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "kafka"))

from fixtures import broker, producer, tools, topic  # noqa: E402, F401
