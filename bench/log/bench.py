#!/usr/bin/env python3
"""How many records a second the embedded log appends: `tidemill log append`, fed with lines through a pipe.

    bench/log/bench.py PROGRAM [--records 3000000] [--bytes 200] [--batch 20000] [--runs 3] [--json FILE]

Every batch is synced before the next is taken. The same lines are piped into `cat` first: what the pipe alone can do.
"""

import argparse
import json
import re
import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

BLOCK_RECORDS = 10_000


def feed(command: list[str], block: bytes, blocks: int) -> tuple[float, str]:
    """Pipes blocks of lines into a command; seconds until it ended, and what it said."""
    began = time.monotonic()
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    for _ in range(blocks):
        process.stdin.write(block)
    process.stdin.close()
    told = process.stderr.read().decode()
    if process.wait() != 0:
        raise SystemExit(f"{command[0]} failed: {told}")
    return time.monotonic() - began, told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("program", help="the tidemill program; a release build, or the figures mean nothing")
    parser.add_argument("--records", type=int, default=3_000_000)
    parser.add_argument("--bytes", type=int, default=200, help="bytes of a record")
    parser.add_argument("--batch", type=int, default=20_000, help="most records of an append")
    parser.add_argument("--partitions", type=int, default=1)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where the log is made: on the disk that is to be measured")
    parser.add_argument("--json", type=Path, help="where the figures go as JSON")
    asked = parser.parse_args()
    line = (b'{"id": %d, "text": "' % 1).ljust(asked.bytes - 2, b"x") + b'"}'
    block = (line + b"\n") * BLOCK_RECORDS
    blocks = max(1, asked.records // BLOCK_RECORDS)
    pipe, _ = feed(["cat"], block, blocks)
    rates = {}
    for durability in ("synced", "cached"):
        of = []
        for _ in range(asked.runs):
            folder = Path(tempfile.mkdtemp(prefix="bench-log-", dir=asked.folder))
            options = ["--batch", str(asked.batch), "--partitions", str(asked.partitions), "--durability", durability]
            _, told = feed([asked.program, "log", "append", str(folder), "t", *options], block, blocks)
            shutil.rmtree(folder)
            of.append(int(re.search(r"\((\d+) a second\)", told)[1]))
        rates[durability] = statistics.median(of)
    figures = {
        "records": blocks * BLOCK_RECORDS,
        "bytes": len(line),
        "batch": asked.batch,
        "partitions": asked.partitions,
        "runs": asked.runs,
        "appends_per_second": rates,
        "pipe_records_per_second": round(blocks * BLOCK_RECORDS / pipe),
    }
    text = json.dumps(figures, indent=1)
    if asked.json:
        asked.json.write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
