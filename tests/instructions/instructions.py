#!/usr/bin/env python3
"""Fails when the program needs more than 5 % more instructions for one of four fixed workloads than is recorded.

    instructions.py --program PATH [--only sliding]
    instructions.py --program PATH --record --reason "windows keep their sums apart: 8 % more, for exact retractions"

Instructions are counted by valgrind, so that neither load nor the clock counts. Counts of the dev build are compared with
counts of the dev build: what is guarded is how much the program does, not how well it is compiled. The spread of a count
over runs is 0.04 %, with RocksDB, which has threads of its own, 1.5 %. What would make it depend on the machine is taken away: one processor, one worker, input that is made here
from a fixed seed, a program without debug information. Valgrind shows the same made-up processor on every x86-64 machine
with AVX2, so that code which looks at the processor (glibc, memchr) takes the same way everywhere.

`recorded.json` holds the counts and why each of them changed; whoever changes one says why.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
RECORDED = HERE / "recorded.json"
RECORD = 'make record-instructions REASON="what changed, and what it buys"'
GROWTH_MAX = 0.05
FILES = 10
# rows of all files together: each workload takes some seconds
WORKLOADS = {"decode": 30_000, "sliding": 10_000, "tumbling": 30_000, "state": 10_000}
TYPES = ("page_view", "click", "add_cart", "purchase", "search", "login", "logout", "share")
USERS, SPAN_SECONDS = 2_000, 7_200
COUNTED = re.compile(r"I\s+refs:\s+([\d,]+)")


def main() -> int:
    """Counts, and compares or records."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", type=Path, required=True, help="the dev build")
    parser.add_argument("--only", default=",".join(WORKLOADS))
    parser.add_argument("--record", action="store_true", help="make the counts of today the recorded ones")
    parser.add_argument("--reason", help="why they changed; goes into the record")
    asked = parser.parse_args()
    if asked.record and not asked.reason:
        parser.error("--record needs --reason: what changed, and why it is worth it")
    if wrong := unlike():
        print(f"error: {wrong}: the recorded counts are of an x86-64 processor with AVX2", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="tidemill-instructions-") as folder:
        work = Path(folder)
        program = work / "tidemill"
        # valgrind reads the debug information before it starts, which takes longer than all the rest
        subprocess.run(["strip", "-o", str(program), str(asked.program)], check=True)
        found = {}
        for name in asked.only.split(","):
            began = time.monotonic()
            found[name] = count(program, name, work)
            print(f"{name:<10}{found[name]:>16,} instructions, {time.monotonic() - began:.0f} s", flush=True)
    return record(found, asked.reason) if asked.record else compare(found)


def unlike() -> str | None:
    """What makes this machine another than the one of the record."""
    if platform.machine() != "x86_64":
        return f"this processor is {platform.machine()}"
    if "avx2" not in Path("/proc/cpuinfo").read_text().split("flags", 1)[-1].split("\n", 1)[0].split():
        return "this processor has no AVX2"
    return None


def count(program: Path, name: str, work: Path) -> int:
    """Instructions of one run of a workload, all threads together."""
    data, out = work / f"{name}-in", work / f"{name}-out"
    make_events(data, WORKLOADS[name])
    out.mkdir()
    log = out / "valgrind.log"
    command = [
        "valgrind",
        "--tool=cachegrind",
        "--cache-sim=no",
        "--cachegrind-out-file=/dev/null",
        f"--log-file={log}",
    ]
    command += [str(program), "run", str(HERE / f"{name}.sql"), "--checkpoint", f"{out.name}/checkpoint"]
    command += ["--progress", "off", "--listen", "off", "--set", "parallelism=1"]
    # relative names, whatever this folder is called: paths are data, too
    env = {"DATA": data.name, "OUT": out.name, "PATH": os.environ["PATH"], "HOME": "/nowhere"}
    one = min(os.sched_getaffinity(0))
    done = subprocess.run(
        command,
        cwd=work,
        env=env,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: os.sched_setaffinity(0, {one}),
    )
    if done.returncode != 0:
        raise SystemExit(f"{name} ended with code {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    shutil.rmtree(data)
    return int(COUNTED.search(log.read_text())[1].replace(",", ""))


def make_events(folder: Path, rows: int) -> None:
    """Events by a generator of our own, which stays as it is when the program's changes."""
    folder.mkdir()
    state = 42
    for file in range(FILES):
        lines = []
        for number in range(file * rows // FILES, (file + 1) * rows // FILES):
            state = (state * 6_364_136_223_846_793_005 + 1_442_695_040_888_963_407) % 2**64
            draw = state >> 20
            seconds = 600 + number * SPAN_SECONDS // rows - (draw % 480 if draw % 50 == 0 else 0)
            lines.append(
                f'{{"event_id":"{draw % 2**32:08x}","user_id":"u{draw % USERS:06}","session_id":"s{draw // 7 % 5000:05}",'
                f'"event_type":"{TYPES[draw // 11 % 8]}","duration":{draw // 13 % 120}.{draw // 17 % 1000:03},'
                f'"amount":{draw // 19 % 1000}.{draw // 23 % 100:02},'
                f'"timestamp":"2026-01-01T{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{draw % 1000:03}Z"}}\n'
            )
        (folder / f"{file:03}.json").write_text("".join(lines), encoding="utf-8")
        # files are read in the order of their time of change
        os.utime(folder / f"{file:03}.json", (1_767_225_600 + file, 1_767_225_600 + file))


def compare(found: dict[str, int]) -> int:
    """Says what differs from the record; the exit code is 1 when it is too much."""
    recorded = json.loads(RECORDED.read_text(encoding="utf-8"))
    failed = []
    for name, now in found.items():
        before = recorded[name]["instructions"]
        change = now / before - 1
        print(f"{name:<10}{change:>+9.2%} of what is recorded ({before:,})")
        if change < -GROWTH_MAX:
            print(f"{'':<10}less than before: record it, or a step back will go unseen ({RECORD})")
        if change > GROWTH_MAX:
            failed.append(f"{name} takes {now:,} instructions, {change:+.1%} of the recorded {before:,}")
    for failure in failed:
        print(f"error: {failure}", file=sys.stderr)
    if failed:
        print(
            "  = help: if you did not mean to, find what the program does more: `valgrind --tool=callgrind` over the same\n"
            f"          run, before and after. If it is worth it, record it and say why: {RECORD}",
            file=sys.stderr,
        )
    return 1 if failed else 0


def record(found: dict[str, int], reason: str) -> int:
    """Writes the counts, the reason beside those before it."""
    recorded = json.loads(RECORDED.read_text(encoding="utf-8")) if RECORDED.exists() else {}
    for name, now in found.items():
        before = recorded.get(name, {"instructions": now, "changes": []})
        change = f"{now / before['instructions'] - 1:+.1%}"
        changes = [*before["changes"], {"instructions": now, "change": change, "reason": reason}]
        recorded[name] = {"instructions": now, "changes": changes}
    RECORDED.write_text(json.dumps(recorded, indent=1) + "\n", encoding="utf-8")
    print(f"recorded in {RECORDED.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
