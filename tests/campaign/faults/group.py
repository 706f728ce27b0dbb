"""Keys without end in a control group with little memory: the program must not be ended by the kernel.

{"group": 200}, "keys": 200000      MiB of the group; half of the rows are of one key, the others of a key each

It ends well, or with 75 and the reason. What it then lacks it must get with state in RocksDB in the same group.
"""

import contextlib
import json
import os
import subprocess
from pathlib import Path

import duckdb
from life import Failed
from scene import Scene, Skipped

KINDS = ("group",)
SECONDS_MAX = 240.0
ROWS_A_FILE = 20_000
AGAIN = 75
KILLED = -9
SQL = """
SET output_mode = 'update';
CREATE TABLE events (k BIGINT, pad STRING) WITH (connector = 'files', path = 'keys', format = 'json');
CREATE TABLE counts WITH (connector = 'files', path = 'counts', format = 'parquet');
INSERT INTO counts SELECT k, count(*) AS n, max(pad) AS pad FROM events GROUP BY k;
"""
ROCKSDB = ("--set", "state_backend=rocksdb", "--set", "state_memory=32MiB")


class Group:
    """A control group of its own with a limit of memory, version 1 or 2."""

    def __init__(self, mib: int) -> None:
        root = Path("/sys/fs/cgroup")
        first = (root / "memory" / "memory.limit_in_bytes").exists()
        name = f"tidemill-{os.getpid()}"
        self.path = (root / "memory" / name) if first else root / name
        limit, self.events = (
            ("memory.limit_in_bytes", "memory.oom_control") if first else ("memory.max", "memory.events")
        )
        try:
            self.path.mkdir()
            (self.path / limit).write_text(str(mib << 20))
            # what does not fit must not go to a swap file
            with contextlib.suppress(OSError):
                (self.path / "memory.swap.max").write_text("0")
        except OSError as why:
            with contextlib.suppress(OSError):
                self.path.rmdir()
            raise Skipped(f"no control group with a limit of memory can be made here: {why}") from None

    def enter(self) -> None:
        """Called in the new process."""
        (self.path / "cgroup.procs").write_text("0")

    def kills(self) -> int:
        """How many processes the kernel has ended here."""
        lines = (self.path / self.events).read_text().splitlines()
        return int(dict(line.split() for line in lines).get("oom_kill", 0))


def run(scene: Scene, _kind: str, mib: int) -> str:
    """Runs it with state in memory until it ends well or cannot, then with state in RocksDB."""
    keys = scene.wanted["keys"]
    write(scene.folder / "keys", keys)
    (scene.folder / "loop.sql").write_text(SQL, encoding="utf-8")
    group = Group(mib)
    try:
        memory = once(scene, group)
        if memory == AGAIN and "memory is used up" not in scene.program.told():
            raise Failed(f"it does not say why it ended\n{scene.program.told()}")
        rocksdb = 0 if memory == 0 else once(scene, group, *ROCKSDB)
        for _ in range(5):
            if rocksdb == 0:
                break
            rocksdb = once(scene, group, *ROCKSDB)
        if memory not in (0, AGAIN) or rocksdb:
            raise Failed(f"ended with {memory}, in RocksDB with {rocksdb}\n{scene.program.told()}")
        if group.kills():
            raise Failed("the kernel has ended it")
    finally:
        group.path.rmdir()
    counts = f"read_parquet('{scene.folder}/counts/*.parquet')"
    found = duckdb.sql(f"SELECT count(*), sum(n) FROM (SELECT k, max(n) AS n FROM {counts} GROUP BY k)").fetchone()
    if found != (keys + 1, 2 * keys):
        raise Failed(f"keys and rows are {found}, not {(keys + 1, 2 * keys)}")
    return f"code {memory} with state in memory, {rocksdb} in RocksDB, all of {keys} keys"


def once(scene: Scene, group: Group, *options: str) -> int:
    """A run in the group; its code."""
    command = [*scene.program.command, *options, "--trigger", "available-now"]
    with scene.program.errors.open("wb") as errors:
        life = subprocess.Popen(
            command, cwd=scene.folder, stderr=errors, stdin=subprocess.DEVNULL, preexec_fn=group.enter
        )
        try:
            return life.wait(SECONDS_MAX)
        except subprocess.TimeoutExpired:
            raise Failed(f"not done after {SECONDS_MAX:g} s\n{scene.program.told()}") from None
        finally:
            life.kill()
            life.wait()


def write(folder: Path, keys: int) -> None:
    """The input: every key once, and key 0 as often as all of them."""
    folder.mkdir()
    for first in range(0, keys, ROWS_A_FILE):
        rows = (
            json.dumps({"k": k, "pad": f"{k:040}"})
            for at in range(first, min(first + ROWS_A_FILE, keys))
            for k in (0, at + 1)
        )
        (folder / f"{first:09}.json").write_text("\n".join(rows) + "\n", encoding="utf-8")
