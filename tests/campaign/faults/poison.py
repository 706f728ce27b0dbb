"""Records that no decoder or expression can take, among good ones: a dead letter each, with its bytes; neighbours live.

{"poison": "invalid-utf8"}      one of POISON; `"query"` of the scenario is computed of every record, `"stage"` and
                                `"code"` are those of its letter; `"letters": 0` when it is no poison at all
"""

import contextlib
import json
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from life import Failed
from scene import Scene

KINDS = ("poison",)
NEIGHBOURS = 50
RUN_SECONDS = 300.0
DEEP = 1_000_000
LARGE = 100 << 20
SQL = """
SET on_error = 'dead_letter';
CREATE TABLE events (id BIGINT, n DOUBLE, word STRING) WITH (connector = 'files', path = 'in', format = 'json');
CREATE TABLE out WITH (connector = 'files', path = 'out', format = 'json');
INSERT INTO out SELECT id, {query} AS value FROM events;
"""
POISON: dict[str, Callable[[], bytes]] = {
    "truncated": lambda: b'{"id": 7000, "n": 1, "wo',
    "wrong-magic": lambda: b"\x00\x00\x00\x00\x07\x02\x0eORC PAR1",
    "invalid-utf8": lambda: b'{"id": 7000, "n": 1, "word": "a\xff\xfe\xc3("}',
    "deep-json": lambda: b'{"id": 7000, "n": 1, "word": ' + b"[" * DEEP + b"]" * DEEP + b"}",
    "large": lambda: b'{"id": 7000, "n": "none", "word": "' + b"x" * LARGE + b'"}',
    "overflow": lambda: b'{"id": 99999999999999999999, "n": 1, "word": "w"}',
    "nan": lambda: b'{"id": 7000, "n": 1e999, "word": "w"}',
    "all-null": lambda: b'{"id": null, "n": null, "word": null}',
}


def run(scene: Scene, _kind: str, name: str) -> str:
    """A file of good records with one bad one among them, and a file of nothing else."""
    folder, bad = scene.folder / "poison", POISON[name]()
    (folder / "in").mkdir(parents=True)
    good = [json.dumps({"id": at, "n": at, "word": f"w{at}"}).encode() for at in range(NEIGHBOURS)]
    mixed = [*good[: NEIGHBOURS // 2], bad, *good[NEIGHBOURS // 2 :]]
    (folder / "in" / "a.json").write_bytes(b"\n".join(mixed) + b"\n")
    (folder / "in" / "b.json").write_bytes(bad + b"\n")
    (folder / "p.sql").write_text(SQL.format(query=scene.wanted.get("query", "word")), encoding="utf-8")
    program = scene.program.command[0]
    options = ["--trigger", "available-now", "--progress", "off", "--listen", "off"]
    done = told([program, "run", "p.sql", "--checkpoint", "ck", *options], folder)
    if done.returncode != 0:
        raise Failed(f"ended with code {done.returncode}\n{done.stderr[-2000:]}")
    expected = scene.wanted.get("letters", 2)
    check_rows(folder, 2 - expected)
    check_letters(scene, program, folder, bad if expected else None)
    return f"{expected} dead letters with their bytes, {NEIGHBOURS} neighbours unharmed"


def check_rows(folder: Path, more: int) -> None:
    """Every good record has come out once."""
    rows: Counter[int | None] = Counter()
    for file in (folder / "out").glob("*.json"):
        rows.update(json.loads(line).get("id") for line in file.open(encoding="utf-8"))
    wanted = Counter(range(NEIGHBOURS))
    if {at: count for at, count in rows.items() if at in wanted} != wanted or rows.total() != NEIGHBOURS + more:
        raise Failed(f"the rows are {rows}")


def check_letters(scene: Scene, program: str, folder: Path, bad: bytes | None) -> None:
    """The bad record is there as it came, from each file."""
    place = ["--checkpoint", "ck", "--format", "json"]
    listed = told([program, "dlq", "list", "--records", *place], folder)
    letters = json.loads(listed.stdout) if listed.returncode == 0 else []
    if len(letters) != (0 if bad is None else 2):
        raise Failed(f"{len(letters)} dead letters: {letters}")
    for letter in letters:
        found = (letter["stage"], letter["code"], letter["payload"])
        if found != (scene.wanted["stage"], scene.wanted["code"], "original"):
            raise Failed(f"the letter is {letter}")
        shown = json.loads(told([program, "dlq", "show", letter["id"], "--unmasked", "--hex", *place], folder).stdout)
        if shown["value_bytes"] != len(bad) or not bad.hex().startswith(shown["value"]):
            raise Failed(f"the bytes of {letter['id']} are others: {shown['value_bytes']} of {len(bad)}")


def told(command: list[str], folder: Path) -> subprocess.CompletedProcess:
    """A command and what it said."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=RUN_SECONDS, check=False)
    raise Failed(f"{command[1]} hangs")
