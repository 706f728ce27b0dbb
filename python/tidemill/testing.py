"""Pipeline cases in their DataFrame form: what ``python -m tidemill test`` runs.

A case is a JSON file: streams with their rows, a query, and what is expected of it (docs/testing.md). The code in
``query.dataframe`` builds the query from one DataFrame per stream and table; `spark`, `F`, `T` and `Window` are in
scope, and the result is left in ``out``. The engine then runs it exactly as it runs the SQL form.

>>> from tidemill.testing import run_case
>>> run_case("cases/tumbling.json")  # doctest: +SKIP
Outcome(verdict='passed', why='')
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from tidemill import _tidemill, functions, types
from tidemill.dataframe import DataFrame
from tidemill.errors import ParseException, TidemillException, from_engine, translated
from tidemill.session import Session
from tidemill.window import Window

Verdict = Literal["passed", "failed", "unsupported", "skipped"]
"""How a case ends; unsupported: this version refuses a part of it by name."""


@dataclass(frozen=True)
class Outcome:
    """How a case ended, and why when it did not pass."""

    verdict: Verdict
    why: str = ""


def find_cases(paths: list[str | os.PathLike[str]]) -> list[Path]:
    """The case files among the paths: files as they are, directories with all JSON files in them, sorted.

    Raises:
        FileNotFoundError: a path that is not there.
    """
    found: list[Path] = []
    for given in map(Path, paths):
        if given.is_dir():
            found.extend(given.rglob("*.json"))
        elif given.exists():
            found.append(given)
        else:
            raise FileNotFoundError(f"there is no case {given}")
    return sorted(found)


def read_case(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The case in a file.

    Raises:
        ParseException: the file is no case.
    """
    try:
        case = json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ParseException(f"{path} is not a case: {error}", "PARSE_SYNTAX_ERROR") from None
    missing = [key for key in ("name", "schema", "query") if key not in case] if isinstance(case, dict) else ["all"]
    if missing:
        raise ParseException(f"{path} is not a case: {', '.join(missing)} missing", "PARSE_SYNTAX_ERROR")
    return case


def run_case(
    path: str | os.PathLike[str],
    *,
    parallelism: int | list[int] = 2,
    state_backend: str | list[str] = "memory",
    restart: bool = False,
    kill: bool = False,
) -> Outcome:
    """Runs the DataFrame form of a case; a case without one is skipped.

    Args:
        path: the case's file.
        parallelism: state partitions and threads; of several, every start of the query takes the next.
        state_backend: where state is kept, ``memory`` or ``rocksdb``; of several, every start takes the next.
        restart: stop and start the query before every batch.
        kill: kill the query after every batch, while the sink has an epoch that is not committed yet, and start it.

    Raises:
        ParseException: the file is no case.
    """
    case = read_case(path)
    code = case["query"].get("dataframe")
    if not code:
        return Outcome("skipped", "it has no DataFrame form")
    try:
        frame = build(case, code)
    except TidemillException as error:
        return judged(error, case.get("expect_error"))
    except _tidemill.TidemillError as error:
        return judged(from_engine(error), case.get("expect_error"))
    except Exception as error:  # noqa: BLE001 - whatever the case's own code raises is the case's failure
        return Outcome("failed", f"the DataFrame form raised {type(error).__name__}: {error}")
    several = parallelism if isinstance(parallelism, list) else [parallelism]
    backends = state_backend if isinstance(state_backend, list) else [state_backend]
    options = json.dumps({"parallelism": several, "state_backend": backends, "restart": restart, "kill": kill})
    with translated():
        verdict, why = _tidemill.run_case(os.fspath(path), json.dumps(frame._relation), options)
    return Outcome(cast(Verdict, verdict), why)


def build(case: dict[str, Any], code: str) -> DataFrame:
    """What the code leaves in ``out``.

    Raises:
        AnalysisException: the code leaves no DataFrame there, or the query is refused while it is built.
    """
    with Session(settings=case.get("conf")) as spark:
        scope: dict[str, Any] = {"spark": spark, "F": functions, "T": types, "Window": Window}
        for name, columns in case["schema"].items():
            scope[name] = _frame(spark, name, columns, static=False)
        for name, table in case.get("static", {}).items():
            scope[name] = _frame(spark, name, table["schema"], static=True)
        exec(compile(code, f"<{case['name']}>", "exec"), scope)  # noqa: S102 - a case is code its author runs
    out = scope.get("out")
    if not isinstance(out, DataFrame):
        raise ParseException("the DataFrame form leaves no DataFrame in `out`")
    return out


def judged(error: TidemillException, expected: dict[str, Any] | None) -> Outcome:
    """What an error while the query is built means for the case.

    Most of Spark's refusals of streams share a class; there it counts that the query is refused.
    """
    condition = error.getCondition() or "none"
    report = f"{type(error).__name__}: {error.getMessage()}"
    if condition == "UNSUPPORTED_FEATURE":
        return Outcome("unsupported", report)
    if expected is None:
        return Outcome("failed", report)
    wanted = expected.get("class") or ""
    any_class = not wanted or wanted.startswith("_LEGACY_ERROR_TEMP")
    if any_class or condition == wanted or condition.split(".")[0] == wanted.split(".")[0]:
        return Outcome("passed")
    return Outcome("failed", f"expected the {expected.get('phase')} error {wanted}, got {condition}:\n{report}")


def _frame(session: Session, name: str, columns: list[list[str]], *, static: bool) -> DataFrame:
    definition = {
        "name": name,
        "columns": [[column, of, True] for column, of in columns],
        # never read: the case's rows are fed in by the engine
        "options": {"connector": "files", "format": "json", "path": "unread"},
        "static": static,
    }
    return DataFrame({"node": "table", "name": [name]}, session, {name: definition})
