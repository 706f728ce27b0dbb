"""Pipeline cases in their DataFrame form."""

from __future__ import annotations

import json

import pytest
from tidemill import testing
from tidemill.__main__ import main
from tidemill.errors import ParseException

CASE = {
    "name": "doubled",
    "group": "stateless",
    "schema": {"events": [["k", "string"], ["v", "int"]]},
    "query": {"dataframe": "out = events.where(F.col('v') > 0).select('k', (events.v * 2).alias('w'))"},
    "output_mode": "append",
    "batches": [{"events": [["a", 1], ["b", -1]]}],
    "output_schema": [["k", "string"], ["w", "int"]],
    "expected": [[["a", 2]]],
}


def written(directory, **changes):
    path = directory / f"{changes.get('name', CASE['name'])}.json"
    path.write_text(json.dumps({**CASE, **changes}))
    return path


def test_a_case_that_passes_and_one_that_does_not(tmp_path, capsys):
    written(tmp_path)
    written(tmp_path, name="wrong", expected=[[["a", 3]]])
    written(tmp_path, name="without", query={"sql": "SELECT k FROM events"})
    assert main(["test", str(tmp_path)]) == 1
    printed = capsys.readouterr().out
    assert "FAILED wrong (stateless)" in printed
    assert printed.endswith("1 passed, 1 failed, 1 skipped\n")
    assert main(["test", str(tmp_path / "doubled.json"), "--restart", "--parallelism", "1"]) == 0


def test_an_error_that_is_expected_may_come_while_the_query_is_built(tmp_path):
    expected = {"phase": "analysis", "class": "PARSE_SYNTAX_ERROR"}
    query = {"dataframe": "out = events.selectExpr('v +')"}
    assert testing.run_case(written(tmp_path, query=query, expect_error=expected)).verdict == "passed"
    other = {"phase": "analysis", "class": "UNRESOLVED_COLUMN"}
    outcome = testing.run_case(written(tmp_path, query=query, expect_error=other))
    assert outcome.verdict == "failed"
    assert "expected the analysis error UNRESOLVED_COLUMN" in outcome.why


def test_code_that_breaks_is_a_failure_of_the_case(tmp_path):
    outcome = testing.run_case(written(tmp_path, query={"dataframe": "out = nothing"}))
    assert outcome.why == "the DataFrame form raised NameError: name 'nothing' is not defined"


def test_a_file_that_is_no_case(tmp_path, capsys):
    path = tmp_path / "broken.json"
    path.write_text("{}")
    with pytest.raises(ParseException, match="is not a case: name, schema, query missing"):
        testing.read_case(path)
    assert main(["test", str(path)]) == 78
    assert main(["test", str(tmp_path / "absent.json")]) == 64
    assert "there is no case" in capsys.readouterr().err
