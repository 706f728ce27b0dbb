#!/usr/bin/env python3
"""Runs the fault matrix: every file in scenarios/ is one fault, and what must come of it.

    matrix.py --program PATH [--only M17] [--short]

A scenario is a JSON file: `what` it shows, its `fault` (a kind and its parameters: faults/), the exit `codes` it may
end with, what it `says`, `settings` of the pipeline. Unless its kind says otherwise it begins with a
pipeline that was killed in the middle of its work, and ends with the oracle's rows. A fault that never came fails
the scenario. `"long": true` leaves it out of the short form.
"""

import argparse
import contextlib
import json
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "kill"), str(HERE.parent / "services")]

import faults  # noqa: E402
from life import Failed  # noqa: E402
from pool import Pool  # noqa: E402
from scene import Scene, Skipped  # noqa: E402


def main() -> int:
    """Runs the scenarios; 0 when all of them came out as they say."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", type=Path, required=True, help="a debug build of the tidemill program")
    parser.add_argument("--only", default="", help="names that begin so")
    parser.add_argument("--short", action="store_true", help="without those that take long")
    asked = parser.parse_args()
    kinds = faults.by_kind()
    passed, failed, skipped = 0, 0, 0
    with contextlib.ExitStack() as cleanup:
        pool = Pool(cleanup)
        for file in sorted((HERE / "scenarios").glob(f"{asked.only}*.json")):
            wanted = json.loads(file.read_text(encoding="utf-8"))
            if asked.short and wanted.get("long"):
                skipped += 1
                continue
            (kind, what), *_ = wanted["fault"].items()
            begun = time.monotonic()
            with tempfile.TemporaryDirectory() as folder:
                scene = Scene(wanted, asked.program.resolve(), Path(folder), pool)
                try:
                    told = kinds[kind].run(scene, kind, what)
                    passed += 1
                    print(f"{file.stem}: {told} ({time.monotonic() - begun:.0f} s)", flush=True)
                except Skipped as why:
                    skipped += 1
                    print(f"SKIPPED {file.stem}: {why}", flush=True)
                except Failed as wrong:
                    failed += 1
                    print(f"FAILED {file.stem}: {wrong}", flush=True)
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return int(failed > 0 or not passed)


if __name__ == "__main__":
    sys.exit(main())
