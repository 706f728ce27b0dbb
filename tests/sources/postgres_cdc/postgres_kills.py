#!/usr/bin/env python3
"""Kills the query and the server at random moments while pgbench changes the table, and compares at the end.

    tests/sources/postgres_cdc/postgres_kills.py --kills 100 [--seed 7]

Every row of the table counts its own changes, so each change that was lost, doubled or out of order is seen.
"""

import argparse
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from changes import ACCOUNTS, WAIT_SECONDS, Changes, Server, feeder, replayed, until

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "services"))

from harness import stop  # noqa: E402


def campaign(folder: Path, kills: int, seed: int) -> dict[str, int]:
    """Runs it; gives what was done."""
    moments = random.Random(seed)
    server = Server(folder / "postgres", "wal_level=logical")
    feeding, query = None, None
    done = {"query": 0, "server": 0, "starts": 0, "feeders": 0}
    try:
        server.psql(ACCOUNTS + "; INSERT INTO accounts SELECT i, 1, repeat('x', 200) FROM generate_series(1, 150) i")
        # small epochs: transactions are cut, and kills hit every step of many
        changes = Changes(folder / "q", server, max_bytes_per_trigger="4KiB", heartbeat_interval="1s")
        for number in range(kills):
            if feeding is None or feeding.poll() is not None:
                feeding = feeder(server, folder, 10_000, rate=400)
                done["feeders"] += 1
            if query is None or query.poll() is not None:
                assert query is None or query.returncode in (-9, 75), changes.told()
                query = changes.start()
                done["starts"] += 1
            time.sleep(moments.uniform(0.05, 1.2))
            if moments.random() < 0.3:
                server.kill()
                server.start()
                done["server"] += 1
            else:
                query.kill()
                query.wait()
                done["query"] += 1
            assert number < kills
        feeding.terminate()
        feeding.wait()
        if query.poll() is None:
            query.kill()
            query.wait()
        changes.run()
        rows = changes.rows()
        until(lambda: replayed(rows) == changes.table(), "the changes do not make the table", seconds=1)
        done |= {"rows": len(rows), "epochs": len(changes.epochs()), "table": len(changes.table())}
        return done
    finally:
        for process in (feeding, query):
            if process is not None and process.poll() is None:
                process.kill()
                process.wait()
        stop(server.process)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=7)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        started = time.monotonic()
        try:
            done = campaign(Path(folder), given.kills, given.seed)
        except subprocess.TimeoutExpired as late:
            sys.exit(f"not done after {WAIT_SECONDS} s: {late}")
        print(f"seed {given.seed}: {done} in {time.monotonic() - started:.0f} s; nothing lost, nothing twice")


if __name__ == "__main__":
    main()
