"""Random pipelines on Tidemill and on the real Spark, compared batch by batch.

    differential.py --program PATH [--pipelines N] [--seed S] [--only SHAPES] [--minimise TRIES] [--out DIR]

The pipeline of a seed is always the same. Spark runs its DataFrame form and its answer becomes a case file; Tidemill
runs both forms of it. What differs is asked of Spark once more, made smaller, and left in DIR/found. The exit code is 1
when something differs. Needs `scripts/setup spark`.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import case_file
from generate.pipeline import draw_pipeline
from minimise import minimised
from ours import Failure, Tidemill
from spark_client import Spark

HERE = Path(__file__).resolve().parent
AT_ONCE = 20


class Differential:
    """One run."""

    def __init__(self, asked: argparse.Namespace, spark: Spark, tidemill: Tidemill) -> None:
        self.asked, self.spark, self.tidemill = asked, spark, tidemill
        self.cases, self.found, self.scratch = (asked.out / name for name in ("cases", "found", "scratch"))
        for folder in (self.cases, self.found, self.scratch):
            folder.mkdir(parents=True, exist_ok=True)
        self.seeds: dict[str, int] = {}
        self.counts: Counter[str] = Counter()
        self.differences: list[Failure] = []

    def run(self) -> int:
        """The exit code."""
        seeds = range(self.asked.seed, self.asked.seed + self.asked.pipelines)
        for first in range(0, len(seeds), AT_ONCE):
            paths = [path for seed in seeds[first : first + AT_ONCE] if (path := self.recorded(seed))]
            failures, unsupported = self.tidemill.failures(paths)
            self.counts["compared"] += len(paths)
            self.counts["refused as not supported"] += len(unsupported)
            for name in unsupported:
                print(f"not supported: {name}", flush=True)
            for name in dict.fromkeys(failure.case for failure in failures):
                self.look_into([failure for failure in failures if failure.case == name])
        print(", ".join(f"{count} {what}" for what, count in self.counts.items()))
        return 1 if self.counts["different"] else 0

    def recorded(self, seed: int) -> Path | None:
        """The case file of a seed, with Spark's answer."""
        case, _ = draw_pipeline(seed, self.asked.only)
        self.seeds[case["name"]] = seed
        path = self.cases / f"{case['name']}.json"
        if path.exists() and self.asked.keep:
            return path
        try:
            found = self.spark.answer(case)
        except RuntimeError as broken:
            print(f"Spark broke down over {case['name']}: {str(broken).strip().splitlines()[-1]}", flush=True)
            self.counts["broken"] += 1
            return None
        self.counts["refused by Spark"] += "expect_error" in found and found["expect_error"]["phase"] == "analysis"
        self.counts["failed in Spark"] += "expect_error" in found and found["expect_error"]["phase"] == "runtime"
        return case_file.write(case_file.with_answer(case, found), self.cases)

    def look_into(self, failures: list[Failure]) -> None:
        """Asks Spark again, and takes down what stays different."""
        seed = self.seeds[failures[0].case]
        case, _ = draw_pipeline(seed, self.asked.only)
        failures = self.differing(case, failures[0].form)
        if not failures:
            self.counts["different once only"] += 1
            return
        form = failures[0].form

        def redrawn(skip: frozenset[str]) -> tuple[dict[str, Any], list[str]]:
            return draw_pipeline(seed, self.asked.only, skip)

        if self.asked.minimise:
            case = minimised(case, redrawn, lambda less: bool(self.differing(less, form)), self.asked.minimise)
            failures = self.differing(case, form) or failures
        answered = case_file.with_answer(case, self.answer(case, form))
        path = case_file.write(answered, self.found)
        self.counts["different"] += 1
        print(f"DIFFERENT {case['name']}: {path}")
        for failure in failures:
            print(f"  {failure.form}: {failure.why[:1500]}")
        print(f"  {case['query'][form]}", flush=True)

    def differing(self, case: dict[str, Any], form: str) -> list[Failure]:
        """How a case fails, with Spark's answer to this form of it."""
        try:
            path = case_file.write(case_file.with_answer(case, self.answer(case, form)), self.scratch)
        except RuntimeError:
            return []
        return [failure for failure in self.tidemill.failures([path])[0] if failure.form == form]

    def answer(self, case: dict[str, Any], form: str) -> dict[str, Any]:
        """Spark's answer to a form; an error of the SQL form alone goes to its own field."""
        return self.spark.answer(case, form)


def main() -> int:
    """Runs what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", type=Path, required=True)
    parser.add_argument("--python-path", type=Path, default=HERE.parents[1] / "python", help="where the module is")
    parser.add_argument("--spark", default=os.environ.get("TIDEMILL_BENCH_VENV", ""), help="environment with pyspark")
    parser.add_argument("--pipelines", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1, help="seed of the first pipeline; the next has the next")
    parser.add_argument("--only", help="shapes to draw from, such as session,join; it gives a seed another pipeline")
    parser.add_argument("--minimise", type=int, default=20, help="how often to try to make a difference smaller")
    parser.add_argument("--keep", action="store_true", help="do not ask Spark again about cases that are in DIR/cases")
    parser.add_argument("--out", type=Path, default=HERE / "out")
    asked = parser.parse_args()
    if not Path(asked.spark, "bin", "python").exists():
        parser.error("there is no Spark: run `scripts/setup spark`, or name an environment with --spark")
    asked.out = asked.out.resolve()
    if not asked.keep:
        shutil.rmtree(asked.out, ignore_errors=True)
    asked.out.mkdir(parents=True, exist_ok=True)
    with Spark(asked.spark, asked.out / "spark.log") as spark:
        return Differential(asked, spark, Tidemill(asked.program.resolve(), asked.python_path.resolve())).run()


if __name__ == "__main__":
    sys.exit(main())
