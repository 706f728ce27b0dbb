"""Functions that SQL knows by name: ``spark.udf``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tidemill.errors import AnalysisException, PySparkTypeError, wrong_type
from tidemill.types import DataType
from tidemill.udf.aggregate import CALL, AggregateFunction
from tidemill.udf.function import VALUES, UserDefinedFunction

if TYPE_CHECKING:
    from tidemill.session import Session


class UDFRegistration:
    """Gives functions names that SQL of the session can call them by."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def register(self, name: str, f: Any, returnType: str | DataType | None = None) -> Any:
        """Registers a function, and gives it back as one that takes columns.

        Args:
            name: the name in SQL; it takes the place of a function of that name.
            f: a Python function of values, or what `udf`, `pandas_udf`, `arrow_udf` or `udaf` has made.
            returnType: type of the results of a Python function; text when it is left out.

        Raises:
            PySparkTypeError: a `returnType` for a function that has one already.
        """
        if not isinstance(name, str):
            raise wrong_type("name", "a name", name)
        if not re.fullmatch(r"\w+", name):
            raise AnalysisException(f"`{name}` is no name for a function: letters, digits and _ only")
        if isinstance(f, AggregateFunction):
            self._session._functions[name.lower()] = f
            return f
        if isinstance(f, UserDefinedFunction):
            if returnType is not None:
                raise PySparkTypeError(
                    "the function has a returnType already", "CANNOT_SPECIFY_RETURN_TYPE_FOR_UDF", {"arg_name": "f"}
                )
            made = UserDefinedFunction(f.func, f.returnType, f.evalType, name)
            made.deterministic = f.deterministic
        else:
            made = UserDefinedFunction(f, returnType if returnType is not None else "string", VALUES, name)
        self._session._functions[name.lower()] = made
        return made


def with_aggregates(sql: str, functions: Mapping[str, Any]) -> str:
    """The text with calls of aggregate functions of the session in the form the plan has them."""
    names = [name for name, known in functions.items() if getattr(known._described(), "kind", "") == "aggregate"]
    if not names:
        return sql
    pattern = rf"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|`[^`]*`|(?<![\w.])({"|".join(names)})\s*\("""

    def called(found: re.Match[str]) -> str:
        return f"{CALL}('{found[1].lower()}', '{found[1]}', " if found[1] else found[0]

    return re.sub(pattern, called, sql, flags=re.IGNORECASE)
