"""The example programs run, and give what they say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_the_fraud_counter():
    done = subprocess.run(
        [sys.executable, EXAMPLES / "fraud_counter.py"], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "1 alice too many payments 4 100.0",
        "2 alice visit over, large: [] 4 100.0",
        "3 bob visit over, large: [900.0, 700.0] 2 1600.0",
    ]
