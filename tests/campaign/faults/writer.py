"""A foreign writer beside ours in one Delta table, with a package nobody here wrote (`deltalake`).

{"foreign-writer": 30}    so many versions of rows that are told apart, with OPTIMIZE and VACUUM in between

Our rows must be there once, the foreign ones once, and the epochs of our transactions must rise from version to
version, as the log's files say them.
"""

import json
from collections import Counter
from pathlib import Path

import outputs
import pyarrow as pa
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import CommitFailedError
from life import Failed
from scene import Scene, drained
from validator import compare

KINDS = ("foreign-writer",)
STRANGER = "a foreign writer"
TRIES = 20


def run(scene: Scene, _kind: str, versions: int) -> str:
    """A life with the foreign writer beside it, and an undisturbed one after it."""
    pipeline, table = scene.pipeline, scene.folder / "loop" / "results"
    packed = 0
    life = scene.program.start("--trigger", "processing-time 2ms")
    try:
        scene.program.until(life, lambda: len(list(table.glob("_delta_log/*.json"))) > 3)
        for number in range(versions):
            pipeline.feed()
            insist(lambda at=number: write_deltalake(table, foreign(table, at), mode="append"))
            if number % 10 == 4:
                packed += insist(lambda: DeltaTable(table).optimize.compact())["numFilesAdded"] > 0
            if number % 10 == 9:
                insist(vacuum(table))
        if life.poll() is not None:
            raise Failed(f"the program ended with code {life.returncode}\n{scene.program.told()}")
    finally:
        code = drained(life)
    if code:
        raise Failed(f"the program ended with code {code}\n{scene.program.told()}")
    scene.finish()
    found = outputs.delta(table)
    theirs = Counter(user for user in found["user"].to_pylist() if (user or "").startswith(STRANGER))
    if theirs != Counter(f"{STRANGER} {number}" for number in range(versions)):
        raise Failed(f"the foreign rows are not there once each: {theirs}")
    ours = found.filter(pa.array([not (user or "").startswith(STRANGER) for user in found["user"].to_pylist()]))
    wrong = compare(pipeline.oracle.rows(), Counter(outputs.rows(ours)))
    wrong += compare(pipeline.oracle.bad, pipeline.letters("loop"))
    if wrong:
        raise Failed("\n".join(wrong))
    epochs, between = transactions(table)
    if epochs != sorted(set(epochs)):
        raise Failed(f"the epochs of our transactions do not rise: {epochs}")
    if not packed:
        raise Failed("OPTIMIZE never packed files")
    if not between:
        raise Failed("no foreign version came between two of ours")
    return f"{len(epochs)} epochs of ours rise, {between} times a foreign version between two of them, {packed} OPTIMIZE, all rows once"


def foreign(table: Path, number: int) -> pa.Table:
    """One row with the columns of the table."""
    schema = pa.schema(DeltaTable(table).schema().to_arrow())
    row = dict.fromkeys(schema.names) | {"user": f"{STRANGER} {number}"}
    return pa.Table.from_pylist([row], schema=schema)


def vacuum(table: Path):
    """Removes files that no version of the last hour names: none that anyone reads or writes now."""
    return lambda: DeltaTable(table).vacuum(retention_hours=1, dry_run=False, enforce_retention_duration=False)


def insist(work):
    """A commit may lose the race for a version; whoever loses tries again."""
    for _ in range(TRIES):
        try:
            return work()
        except (CommitFailedError, OSError) as lost:
            last = lost
    raise Failed(f"the foreign writer never came through: {last}")


def transactions(table: Path) -> tuple[list[int], int]:
    """Our epochs in the order of versions, and how often a foreign version stands between two of them."""
    epochs, between, is_foreign = [], 0, False
    for file in sorted((table / "_delta_log").glob("*.json")):
        actions = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
        ours = [
            action["txn"]["version"]
            for action in actions
            if action.get("txn", {}).get("appId", "").startswith("tidemill/")
        ]
        between += bool(ours and is_foreign and epochs)
        is_foreign = not ours
        epochs += ours
    return epochs, between
