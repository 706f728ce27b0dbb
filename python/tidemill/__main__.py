"""``python -m tidemill test PATH...``: runs pipeline cases in their DataFrame form.

Prints what ``tidemill test`` prints for their SQL form: each failure, then ``N passed, N failed, N skipped``.
The exit code is 0 when none has failed, 1 when one has, 64 when the command line is wrong, 78 when a file is no case.
"""

from __future__ import annotations

import argparse
import sys

from tidemill import testing
from tidemill.errors import TidemillException

USAGE, INVALID = 64, 78
"""Exit codes, those of the `tidemill` program."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:  # type: ignore[override]
        self.print_usage(sys.stderr)
        print(f"error: {message}", file=sys.stderr)
        raise SystemExit(USAGE)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m tidemill", description="Real-time streaming pipelines.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    test = verbs.add_parser("test", help="run pipeline cases in their DataFrame form")
    test.add_argument("paths", nargs="+", metavar="PATH", help="case files, or directories that hold them")
    test.add_argument("--group", help="only cases of this group")
    test.add_argument(
        "--parallelism",
        type=_numbers,
        default=[2],
        metavar="N[,N]",
        help="state partitions and threads (default 2); of several, every start of the query takes the next",
    )
    test.add_argument(
        "--state-backend",
        type=lambda text: text.split(","),
        default=["memory"],
        metavar="NAME[,NAME]",
        help="where state is kept: memory (default), rocksdb; of several, every start of the query takes the next",
    )
    between = test.add_mutually_exclusive_group()
    between.add_argument("--restart", action="store_true", help="stop and start the query before every batch")
    between.add_argument(
        "--kill",
        action="store_true",
        help="kill the query after every batch, while the sink has an epoch that is not committed yet, and start it",
    )
    test.add_argument(
        "--unsupported",
        choices=("fail", "skip"),
        default="fail",
        help="what becomes of cases refused as not supported yet: failures (default), or named and counted as skipped",
    )
    test.add_argument("--details", action="store_true", help="print failures in full")
    return parser


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


def _test(arguments: argparse.Namespace) -> int:
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    refused = []
    for path in testing.find_cases(arguments.paths):
        case = testing.read_case(path)
        group = case.get("group", "")
        if arguments.group is not None and arguments.group != group:
            continue
        outcome = testing.run_case(
            path,
            parallelism=arguments.parallelism,
            state_backend=arguments.state_backend,
            restart=arguments.restart,
            kill=arguments.kill,
        )
        verdict = outcome.verdict
        if verdict == "unsupported":
            verdict = "skipped" if arguments.unsupported == "skip" else "failed"
            if verdict == "skipped":
                refused.append(case["name"])
        counts[verdict] += 1
        if verdict == "failed":
            why = outcome.why if arguments.details else "\n".join(outcome.why.splitlines()[:3])
            print(f"FAILED {case['name']} ({group})\n{why}\n")
    if refused:
        print(f"refused as not supported yet: {', '.join(refused)}\n")
    print(f"{counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped")
    return 1 if counts["failed"] else 0


def main(arguments: list[str] | None = None) -> int:
    """Runs the program and gives its exit code."""
    try:
        return _test(_parser().parse_args(arguments))
    except FileNotFoundError as error:
        print(f"error: {error}", file=sys.stderr)
        return USAGE
    except TidemillException as error:
        print(f"error: {error}", file=sys.stderr)
        return INVALID


if __name__ == "__main__":
    sys.exit(main())
