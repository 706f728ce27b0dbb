"""The eight steps end to end on embedded defaults, with a kill -9 in the middle.

    demo.py --program PATH [--short] [--events N] [--out DIR] [--listen ADDRESS]

Made-up user events go into the embedded log (produce.sql); pipeline.sql validates, masks, counts and
writes them to Delta, Parquet and the console. In the middle the pipeline's process is killed and started
again. At the end another program, DuckDB, computes the same results from a copy of the raw events, and
the two are compared row by row.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import check
from worker import Worker, wait_until

HERE = Path(__file__).resolve().parent
SECONDS_MAX = 300.0
# a second of event time, as in produce.sql
EVENTS_PER_SECOND = 250


def main() -> int:
    """Runs the demo; 0 when nothing was lost or doubled."""
    asked = arguments()
    shutil.rmtree(asked.out, ignore_errors=True)
    asked.out.mkdir(parents=True)
    env = os.environ | {"DEMO": str(HERE), "OUT": str(asked.out), "EVENTS": str(asked.events), "PACE": asked.pace}
    # a made-up past that ends about now
    env["START"] = time.strftime("%Y-%m-%dT%H:%M:00Z", time.gmtime(time.time() - asked.events / EVENTS_PER_SECOND))

    say("1", f"production: {asked.events:,} user events, 0.5 % of them broken, go into the embedded log")
    producer = Worker(asked.program, HERE / "produce.sql", asked.out, env, listen="off")
    wait_until(lambda: (asked.out / "log" / "user-events" / "topic.json").exists(), SECONDS_MAX, producer)
    say("2", f"ingestion: topic user-events, 2 partitions, in {shown(asked.out / 'log')}")
    say("3", "validation: against version 1 of user-events in examples/demo/registry")
    say("4", "masking: e-mail addresses and phone numbers")
    say("5", "processing: per user, 5 minutes sliding by 1: count, distinct sessions, average; enriched with plans.csv")
    say("6", "sinks: Delta table, Parquet files, this screen; bad records into a Delta table of their own")

    workers = [producer]
    try:
        first = Worker(asked.program, HERE / "pipeline.sql", asked.out, env, listen=asked.listen)
        workers.append(first)
        first.follow(lambda: first.records >= asked.events * 2 // 5, SECONDS_MAX)
        first.kill()
        print(f"\n    kill -9 {first.process.pid}: the pipeline's process is gone, after {first.records:,} events")
        second = Worker(asked.program, HERE / "pipeline.sql", asked.out, env, listen=asked.listen)
        workers.append(second)
        print(f"    started again from its checkpoint as process {second.process.pid}\n")
        second.follow(lambda: second.records >= asked.events and second.is_idle, SECONDS_MAX)
        second.show_table()
        print()
        say("8", "cost: the pipeline's own summary of its second life")
        second.stop()
        producer.stop()
    finally:
        for worker in workers:
            worker.kill()
    if first.latencies or second.latencies:
        every = sorted(first.latencies + second.latencies)
        print(f"\n    both lives: the median epoch's latency was {every[len(every) // 2]:.0f} ms at p50")
    return verdict(asked.out)


def verdict(out: Path) -> int:
    """Counts the results again with another program and says what it found."""
    print("\nThe same results, counted by DuckDB from a copy of the raw events:\n")
    started = time.monotonic()
    findings = check.compare(out)
    for finding in findings:
        mark = "ok  " if finding.is_right else "FAIL"
        print(
            f"    {mark} {finding.what:<34} expected {finding.expected:>9,}  found {finding.found:>9,}  {finding.note}"
        )
    wrong = [finding for finding in findings if not finding.is_right]
    print(f"\n    compared in {time.monotonic() - started:.1f} s; everything is in {shown(out)}")
    print("    nothing was lost, nothing doubled" if not wrong else "    THE RESULTS DIFFER")
    print(f"\n{len(findings) - len(wrong)} passed, {len(wrong)} failed, 0 skipped")
    return 1 if wrong else 0


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", type=Path, required=True, help="the tidemill program")
    parser.add_argument("--events", type=int, default=600_000)
    parser.add_argument("--out", type=Path, default=Path("demo-out"), help="folder for all that is written")
    parser.add_argument("--listen", default="127.0.0.1:4040", help="address of the live page")
    parser.add_argument("--short", action="store_true", help="fewer events, any free port: for tests")
    asked = parser.parse_args()
    asked.pace = "640KiB"
    if asked.short:
        asked.events, asked.listen, asked.pace = 60_000, "127.0.0.1:0", "512KiB"
    asked.program = asked.program.resolve()
    asked.out = asked.out.resolve()
    return asked


def say(step: str, text: str) -> None:
    """Announces one of the eight steps."""
    print(f"[{step}/8] {text}", flush=True)


def shown(path: Path) -> str:
    """A path the way a person would write it."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        sys.exit(main())
    except (RuntimeError, subprocess.TimeoutExpired) as error:
        print(f"demo: {error}", file=sys.stderr)
        sys.exit(1)
