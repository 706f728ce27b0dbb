"""Fixtures of these tests."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from fixtures import broker, producer, tools, topic  # noqa: E402, F401
