"""Asks the process of oracle.py."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent


class Spark:
    """The real Spark. The process is started when it is first asked, and started anew when it has died."""

    def __init__(self, environment: str, log: Path) -> None:
        self.python, self.log = Path(environment) / "bin" / "python", log
        self.process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Spark:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process is not None and self.process.stdin is not None:
            self.process.stdin.close()
            self.process.wait()

    def answer(self, case: dict[str, Any], form: str = "dataframe") -> dict[str, Any]:
        """The fields of the case file that Spark gives.

        Raises:
            RuntimeError: the recorder failed, or the process died over the case.
        """
        if self.process is None or self.process.poll() is not None:
            self.process = self.started()
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps({"case": case, "form": form}) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"Spark ended with code {self.process.wait()}; see {self.log}")
        answer = json.loads(line)
        if "broken" in answer:
            raise RuntimeError(answer["broken"])
        return answer["found"]

    def started(self) -> subprocess.Popen[str]:
        """A new process."""
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [str(self.python), str(HERE / "oracle.py")],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=os.environ | {"PYTHONPATH": str(HERE), "PYSPARK_PYTHON": str(self.python)},
                encoding="utf-8",
            )
