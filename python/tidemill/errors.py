"""The errors users see, under PySpark's names, and the one place that turns the engine's errors into them.

Every error says what was attempted, where, why, and what to do. `getCondition()` gives Spark's error class where the
error has one (https://spark.apache.org/docs/latest/sql-error-conditions.html).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager


class TidemillException(Exception):
    """Base of all errors of this package.

    Args:
        message: what went wrong, for people.
        condition: Spark's error class, such as ``UNRESOLVED_COLUMN.WITH_SUGGESTION``; None when there is none.
        parameters: names and values the message is made of.
    """

    def __init__(self, message: str, condition: str | None = None, parameters: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self._message = message
        self._condition = condition
        self._parameters = dict(parameters or {})

    def getCondition(self) -> str | None:
        """Spark's error class, or None."""
        return self._condition

    def getErrorClass(self) -> str | None:
        """Spark's error class, or None: the older name of `getCondition`."""
        return self._condition

    def getMessageParameters(self) -> dict[str, str]:
        """Names and values the message is made of."""
        return dict(self._parameters)

    def getMessage(self) -> str:
        """The message, with the error class in front as Spark writes it."""
        shown = self._condition and not self._condition.startswith("_") and f"[{self._condition}]" not in self._message
        return f"[{self._condition}] {self._message}" if shown else self._message

    @property
    def desc(self) -> str:
        """The message."""
        return self._message

    def __str__(self) -> str:
        return self.getMessage()


PySparkException = TidemillException


class AnalysisException(TidemillException):
    """The query is not valid: an unknown column, types that do not fit, something a stream cannot do."""


class ParseException(AnalysisException):
    """SQL, a schema or a type that cannot be read."""


class IllegalArgumentException(TidemillException, ValueError):
    """An option or setting with a value it cannot have."""


class StreamingQueryException(TidemillException):
    """A running query failed. It can be started again from its checkpoint once the cause is mended."""


class SparkRuntimeException(TidemillException):
    """Computing a result failed: rows an expression cannot take, a source or sink that refused."""


class PySparkTypeError(TidemillException, TypeError):
    """An argument of a wrong Python type."""


class PySparkValueError(TidemillException, ValueError):
    """An argument with a value it cannot have."""


class PySparkAttributeError(TidemillException, AttributeError):
    """An attribute that is not there."""


class PySparkImportError(TidemillException, ImportError):
    """A package that is not installed."""


class PySparkNotImplementedError(TidemillException, NotImplementedError):
    """Something a class of the user's program does not have."""


class PySparkRuntimeError(TidemillException, RuntimeError):
    """Something asked for at a time when it cannot be had."""


def from_engine(error: BaseException, *, running: bool = False) -> TidemillException:
    """The engine's error as one of this module's.

    Args:
        error: a ``_tidemill.TidemillError``: ``kind`` (who can mend it), ``error_class`` (Spark's, or None), and the
            report, place and help included, as its text.
        running: True when the error ended a running query.
    """
    kind = getattr(error, "kind", "invalid")
    condition = getattr(error, "error_class", None)
    report = getattr(error, "report", None) or str(error)
    parameters = {"kind": str(kind)}
    if running:
        return StreamingQueryException(report, condition or "STREAM_FAILED", parameters)
    if condition == "PARSE_SYNTAX_ERROR":
        return ParseException(report, condition, parameters)
    if kind in ("invalid", "usage"):
        return AnalysisException(report, condition, parameters)
    return SparkRuntimeException(report, condition, parameters)


@contextmanager
def translated(*, running: bool = False) -> Iterator[None]:
    """Turns errors of the engine raised inside into those of this module."""
    from tidemill import _tidemill

    try:
        yield
    except _tidemill.TidemillError as error:
        raise from_engine(error, running=running) from None


def wrong_type(argument: str, expected: str, given: object) -> PySparkTypeError:
    """An argument of a wrong Python type, as an error to raise."""
    return PySparkTypeError(
        f"argument `{argument}` takes {expected}, not {type(given).__name__}",
        "NOT_EXPECTED_TYPE",
        {"arg_name": argument, "expected_type": expected, "arg_type": type(given).__name__},
    )


def refused_on_stream(what: str, instead: str) -> AnalysisException:
    """Something that needs all rows, asked of a stream, as an error to raise."""
    return AnalysisException(
        f"{what} does not fit a stream, whose rows never end\n  = help: {instead}",
        "_LEGACY_ERROR_TEMP_3102",
        {"operation": what},
    )
