"""Runs cases in Tidemill, both forms, as users do: `tidemill test` and `python -m tidemill test`."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

FORMS = ("sql", "dataframe")
SECONDS_MOST = 120
FAILED = re.compile(r"^FAILED (\S+) \([^)]*\)\n", re.M)
REFUSED = "refused as not supported yet: "


@dataclass(frozen=True)
class Failure:
    """A case that did not end as expected."""

    case: str
    form: str
    why: str


class Tidemill:
    """A program and the Python module beside it."""

    def __init__(self, program: Path, python_path: Path, options: tuple[str, ...] = ()) -> None:
        self.program, self.python_path, self.options = program, python_path, options

    def failures(self, cases: list[Path]) -> tuple[list[Failure], list[str]]:
        """The cases that fail, and the names of those that use what this version does not have."""
        found: list[Failure] = []
        unsupported: set[str] = set()
        for form in FORMS:
            text = self.output(form, cases)
            if text is None:
                # one of them ended the program, or hung: which?
                for case in cases:
                    alone = self.output(form, [case]) if len(cases) > 1 else None
                    if alone is None:
                        found.append(Failure(case.stem, form, "the program crashed, or did not end"))
                    else:
                        found += failed(alone, form)
                        unsupported |= refused(alone)
                continue
            found += failed(text, form)
            unsupported |= refused(text)
        return found, sorted(unsupported)

    def output(self, form: str, cases: list[Path]) -> str | None:
        """What the test program prints; nothing when it broke down."""
        command = [str(self.program)] if form == "sql" else [sys.executable, "-m", "tidemill"]
        command += ["test", "--details", "--unsupported", "skip", *self.options, *map(str, cases)]
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                timeout=SECONDS_MOST + len(cases),
                env=os.environ | {"PYTHONPATH": str(self.python_path)},
                check=False,
            )
        except subprocess.TimeoutExpired:
            return None
        return done.stdout if done.returncode in (0, 1) and " passed, " in done.stdout else None


def failed(text: str, form: str) -> list[Failure]:
    """The failures in the output of a test program."""
    parts = FAILED.split(text)
    return [Failure(name, form, why.split("\n\n")[0]) for name, why in zip(parts[1::2], parts[2::2], strict=True)]


def refused(text: str) -> set[str]:
    """The names of cases that were refused as not supported."""
    lines = [line.removeprefix(REFUSED) for line in text.splitlines() if line.startswith(REFUSED)]
    return {name for line in lines for name in line.split(", ")}
