"""A Delta table that is merged into, epoch by epoch, as readers see it that nobody here wrote.

Every epoch moves amounts between accounts, so that the sum over all accounts is 0 in every version. A
reader that saw half an epoch would see another sum, or an account twice.
"""

import json
import os
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path
from subprocess import PIPE, Popen

import duckdb
import duckdb_ext
import pytest
from deltalake import DeltaTable

PROGRAM = Path(os.environ.get("CARGO_TARGET_DIR", "target")) / "debug" / "tidemill"
EPOCHS = 50
SQL = """
SET output_mode = update;
CREATE TABLE moves (account STRING, amount BIGINT)
    WITH (connector = 'files', path = 'in', format = 'json', maxFilesPerTrigger = 1);
CREATE TABLE accounts WITH (connector = 'delta', path = 'accounts', primary_key = 'account',
                            auto_compact_min_files = 10, 'delta.checkpointInterval' = '20');
INSERT INTO accounts SELECT account, sum(amount) AS total FROM moves GROUP BY account;
"""
DUCKDB = "SELECT count(*), count(DISTINCT account), sum(total)::BIGINT FROM delta_scan('{}')"


def feed(folder: Path) -> Counter[str]:
    """Writes a file of moves for each epoch; the balances at the end."""
    dice = random.Random(4)
    balances: Counter[str] = Counter()
    folder.mkdir()
    for epoch in range(EPOCHS):
        lines = []
        for _ in range(5):
            amount = dice.randint(1, 1000)
            for account, change in ((dice.randint(0, 300), amount), (dice.randint(0, 300), -amount)):
                balances[f"a{account:03}"] += change
                lines.append(json.dumps({"account": f"a{account:03}", "amount": change}))
        (folder / f"{epoch:04}.json").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return balances


def start(folder: Path) -> Popen[bytes]:
    """Runs the pipeline until its input is read."""
    (folder / "merge.sql").write_text(SQL, encoding="utf-8")
    command = [str(PROGRAM), "run", "merge.sql", "--trigger", "available-now"]
    return Popen(
        [*command, "--checkpoint", "ckpt", "--listen", "off"], cwd=folder, stdout=PIPE, stderr=subprocess.STDOUT
    )


def by_deltalake(table: Path) -> tuple[int, int, int]:
    """Rows, distinct accounts and the sum of all balances."""
    rows = DeltaTable(str(table)).to_pyarrow_table().to_pydict()
    return len(rows["account"]), len(set(rows["account"])), sum(rows["total"])


def by_duckdb(table: Path) -> tuple[int, int, int]:
    """The same."""
    connection = duckdb.connect(config={"autoinstall_known_extensions": "false"})
    duckdb_ext.init(connection)
    connection.execute("LOAD delta")
    found = connection.execute(DUCKDB.format(table)).fetchone()
    assert found is not None
    return found[0], found[1], found[2] or 0


@pytest.fixture
def running(tmp_path: Path) -> tuple[Path, Counter[str], Popen[bytes]]:
    """A pipeline over a folder of moves."""
    return tmp_path / "accounts", feed(tmp_path / "in"), start(tmp_path)


def test_no_reader_sees_a_torn_version(running: tuple[Path, Counter[str], Popen[bytes]]) -> None:
    table, balances, process = running
    seen: set[int] = set()
    while process.poll() is None:
        if not (table / "_delta_log" / f"{1:020}.json").exists():
            continue
        for read in (by_deltalake, by_duckdb):
            rows, accounts, total = read(table)
            assert (rows, total) == (accounts, 0), read.__name__
            seen.add(rows)
    output = process.stdout.read().decode() if process.stdout else ""
    assert process.returncode == 0, output
    found = DeltaTable(str(table)).to_pyarrow_table().to_pydict()
    assert dict(zip(found["account"], found["total"], strict=True)) == dict(balances)
    assert by_duckdb(table) == (len(balances), len(balances), 0)
    operations = Counter(entry["operation"] for entry in DeltaTable(str(table)).history())
    assert operations["MERGE"] == EPOCHS, "one commit an epoch"
    assert len(DeltaTable(str(table)).file_uris()) < 35
    print(f"{len(seen)} different states were read while it ran", file=sys.stderr)


def test_a_foreign_process_writes_in_between(running: tuple[Path, Counter[str], Popen[bytes]]) -> None:
    table, balances, process = running
    foreign = 0
    while process.poll() is None:
        if (table / "_delta_log" / f"{5:020}.json").exists():
            try:
                DeltaTable(str(table)).optimize.compact()
                foreign += 1
            except Exception as error:  # noqa: BLE001 - the library's own conflict with our commits
                assert "conflict" in str(error).lower() or "concurrent" in str(error).lower(), error
    output = process.stdout.read().decode() if process.stdout else ""
    assert process.returncode == 0, output
    found = DeltaTable(str(table)).to_pyarrow_table().to_pydict()
    assert dict(zip(found["account"], found["total"], strict=True)) == dict(balances)
    assert foreign > 0, "the other process never came in between"
