"""The campaign's checks can fail: what a reader must not see is seen, and a fault that never came is counted."""

import argparse
import random
import sys
from collections import Counter
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "kill")]

import plans  # noqa: E402
from campaign import Block, Campaign  # noqa: E402
from ledger import Ledger  # noqa: E402
from life import Failed  # noqa: E402
from visible import Visible  # noqa: E402

ROWS = Counter({(0, closed, user): 1 for closed in (1, 2) for user in ("ann", "bob")})
FIRST = Counter({row: 1 for row in ROWS if row[1] == 1})


def test_whole_epochs_that_only_grow_are_right() -> None:
    visible = Visible()
    assert [visible.look(ROWS, seen) for seen in (Counter(), FIRST, FIRST, ROWS)] == [[], [], [], []]


@pytest.mark.parametrize(
    ("seen", "what"),
    [
        (Counter({(0, 1, "ann"): 1}), "missing while others are there"),
        (FIRST + FIRST, "doubled"),
        (FIRST + Counter({(0, 9, "ann"): 1}), "never due"),
    ],
)
def test_what_a_reader_must_not_see(seen: Counter, what: str) -> None:
    assert what in "\n".join(Visible().look(ROWS, seen))


def test_rows_that_go_away_again() -> None:
    visible = Visible()
    visible.look(ROWS, ROWS)
    assert "are gone" in visible.look(ROWS, FIRST)[0]


def test_every_step_gets_its_hits() -> None:
    hits, dice = Counter(), random.Random(1)
    for _ in range(1000):
        plan = plans.draw(dice, hits)
        hits[plan.step] += bool(plan.step)
    assert min(hits[step] for step in plans.STEPS) >= 30


def test_a_fault_that_never_came_fails(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    cycle = {"cell": "delta/memory", "step": "planned", "fired": 0, "lives": 1, "code": -9}
    ledger.add({"result": "passed"}, [cycle])
    campaign = Campaign(argparse.Namespace(sinks=["delta"], program=Path(sys.executable)), Ledger(ledger.path))
    with pytest.raises(Failed, match="never came"):
        campaign.check_reach()


def test_a_block_that_failed_stays_in_the_ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(self: Block, _count: int, _hits: Counter) -> None:
        self.lost = 3
        raise Failed("3 rows lost: ...")

    monkeypatch.setattr(Block, "run", fails)
    asked = argparse.Namespace(sinks=["delta"], program=Path(sys.executable), seed=1)
    campaign = Campaign(asked, Ledger(tmp_path / "ledger.jsonl"))
    with pytest.raises(Failed, match="3 rows lost"):
        campaign.block(campaign.cells[0], 1)
    assert [(block["lost"], block["result"]) for block in Ledger(tmp_path / "ledger.jsonl").blocks] == [
        (3, "3 rows lost: ...")
    ]
