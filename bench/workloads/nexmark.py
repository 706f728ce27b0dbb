"""Nexmark q0 to q22 on Tidemill, Spark and Flink; every answer is checked against DuckDB over the same events."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from measure import Measured
from suite import HERE, Suite

sys.path.insert(0, str(HERE / "nexmark"))

import check  # noqa: E402
import peers  # noqa: E402

ENGINES = ["tidemill", "spark", "flink"]
SHARE = 5  # events of W1 for one of Nexmark
WITH_STATE = ("q3", "q4", "q5", "q6", "q7", "q8", "q9", "q11", "q12", "q15", "q16", "q17", "q18", "q19", "q20")


def run(suite: Suite) -> None:
    """Every query, the engines turn by turn."""
    events = max(1000, suite.asked.events // SHARE)
    asked = argparse.Namespace(
        program=suite.program, events=events, rate=max(50, events // 100), files=10, seed=42, out=suite.out / "nexmark"
    )
    nexmark = check.Nexmark(asked)
    nexmark.make_data()
    # a query without state costs the peers a start each and shows what q0 shows: one turn
    for query in check.QUERIES:
        turns = suite.asked.runs if query in WITH_STATE else 1
        taken: dict[str, list[Measured]] = {name: [] for name in ENGINES if name == "tidemill" or suite.engine(name)}
        for turn in range(turns):
            for name in list(taken):
                if (
                    not suite.attempt(f"{query} on {name}", once, suite, nexmark, query, name, taken, turn)
                    and not taken[name]
                ):
                    del taken[name]
        for name, runs in taken.items():
            suite.add_runs(query, name, events, runs, state=query in WITH_STATE)
        suite.say(f"nexmark: {query} done")


def once(suite: Suite, nexmark: check.Nexmark, query: str, name: str, taken: dict, turn: int) -> None:
    """One run, its answer checked the first time."""
    if name == "tidemill":
        took, result = nexmark.run(query)
        difference = None if turn else nexmark.difference(query, result)
    else:
        data = peers.one_file_each(nexmark.data, peers.needs_last(query)) if name == "flink" else nexmark.data
        took = suite.run(name, suite.engine(name), "nexmark", data, {"query": query})
        result = suite.out / f"nexmark-{name}" / "data"
        difference = None if turn else compare(nexmark, query, name, result)
    if difference:
        raise RuntimeError(f"wrong: {difference}")
    taken[name].append(took)


def compare(nexmark: check.Nexmark, query: str, name: str, result: Path) -> str | None:
    """What is wrong with a peer's result."""
    if name == "spark":
        return nexmark.difference(query, result)
    wishes = nexmark.wishes(peers.HERE / "flink" / f"{query}.sql")
    return nexmark.compare(query, peers.flink_result(query, result), wishes.get("result"))
