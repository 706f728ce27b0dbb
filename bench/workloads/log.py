"""The embedded log: records a second it appends; see ../log/bench.py."""

from __future__ import annotations

import json
import subprocess
import sys

from suite import HERE, Suite

RECORDS, RECORDS_QUICK = 3_000_000, 20_000


def run(suite: Suite) -> None:
    """Synced and not."""
    folder = suite.fresh("log")
    records = RECORDS_QUICK if suite.asked.quick else RECORDS
    options = ["--records", str(records), "--runs", str(suite.asked.runs)]
    options += ["--folder", str(folder), "--json", str(folder / "log.json")]
    script = str(HERE / "log" / "bench.py")
    done = subprocess.run([sys.executable, script, str(suite.program), *options], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(done.stderr[-2000:])
    figures = json.loads((folder / "log.json").read_text())
    for durability, rate in figures["appends_per_second"].items():
        suite.add(f"log_{durability}", "tidemill", events_per_second=round(rate), bytes=figures["bytes"])
    suite.add("log_pipe", "cat", events_per_second=figures["pipe_records_per_second"], bytes=figures["bytes"])
