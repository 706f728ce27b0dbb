"""State: updates of keys in memory and in a store with little memory, restarts; see ../state/bench.py."""

from __future__ import annotations

import json
import subprocess
import sys

from suite import HERE, Suite

KEYS, KEYS_QUICK = 1_000_000, 10_000
PARTS = ("memory", "rocksdb")


def run(suite: Suite) -> None:
    """Its figures as they are."""
    keys = KEYS_QUICK if suite.asked.quick else KEYS
    found = suite.fresh("state") / "state.json"
    script = str(HERE / "state" / "bench.py")
    options = ["--keys", str(keys), "--state-memory", "64MiB", "--work", str(found.parent), "--json", str(found)]
    done = subprocess.run(
        [sys.executable, script, str(suite.program), *PARTS, *options], capture_output=True, text=True
    )
    if done.returncode != 0:
        raise RuntimeError(done.stderr[-2000:])
    for part, figures in json.loads(found.read_text()).items():
        suite.add(f"state_{part}", "tidemill", **figures)
