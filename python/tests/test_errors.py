"""Errors: their names, classes and words."""

from __future__ import annotations

import pytest
from frames import stream
from tidemill import errors
from tidemill import functions as F


def test_an_unknown_column_names_the_nearest_one():
    with pytest.raises(errors.AnalysisException) as raised:
        stream().select("kk").schema  # noqa: B018
    assert raised.value.getCondition() == "UNRESOLVED_COLUMN.WITH_SUGGESTION"
    assert raised.value.getErrorClass() == raised.value.getCondition()
    assert "did you mean `k`?" in str(raised.value)


def test_an_attribute_that_is_not_there_names_the_nearest_one():
    with pytest.raises(AttributeError, match="did you mean `groupBy`"):
        stream().groupBye("k")


def test_a_function_that_is_not_there():
    with pytest.raises(errors.AnalysisException) as raised:
        stream().select(F.expr("no_such_fn(v)")).schema  # noqa: B018
    assert raised.value.getCondition() == "UNRESOLVED_ROUTINE"


@pytest.mark.parametrize("action", ["collect", "count", "show", "toPandas", "toArrow", "head"])
def test_a_stream_cannot_be_collected(action):
    with pytest.raises(errors.AnalysisException, match="does not fit a stream") as raised:
        getattr(stream(), action)()
    assert raised.value.getCondition() == "_LEGACY_ERROR_TEMP_3102"
    assert "writeStream" in str(raised.value)


def test_engine_errors_keep_class_and_words():
    class Raised(Exception):
        kind, error_class, report = "invalid", "TABLE_OR_VIEW_NOT_FOUND", "error[TABLE_OR_VIEW_NOT_FOUND]: no table"

    error = errors.from_engine(Raised())
    assert isinstance(error, errors.AnalysisException)
    assert str(error) == "error[TABLE_OR_VIEW_NOT_FOUND]: no table"
    assert isinstance(errors.from_engine(Raised(), running=True), errors.StreamingQueryException)
    Raised.kind = "data"
    assert isinstance(errors.from_engine(Raised()), errors.SparkRuntimeException)


def test_arguments_of_a_wrong_type_say_what_is_taken():
    with pytest.raises(errors.PySparkTypeError, match="argument `condition` takes a Column or SQL as a str, not int"):
        stream().filter(1)
    with pytest.raises(errors.PySparkTypeError, match=r"wrap a value in F.lit"):
        stream().withColumn("a", 1)
    assert issubclass(errors.PySparkTypeError, TypeError)
