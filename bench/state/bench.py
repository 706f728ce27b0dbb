"""State that is large: what it takes in memory, on disk and in time, with the program as users run it.

    bench/state/bench.py PROGRAM --keys 20000000 --work /dir/on/the/disk        all of it
    bench/state/bench.py PROGRAM rocksdb --keys 1000000 --state-memory 64MiB    one part

Parts:

* `rocksdb`: N keys in a store with a limit of memory. Peak RSS; bytes an epoch when 1 % of the keys change, those
  of the checkpoint (journal and new files of snapshots) and all that the kernel wrote; a restart after a kill.
* `memory`: the same keys (at most 1 million) in memory. Nanoseconds an update, that is the time of an epoch less
  that of the same epoch without state.
* `recovery`: time from the start of the process to `/readyz` and to the first epoch, with about 1 GB of state
  and with none.

Nothing is taken from what the engine says of its memory: RSS is the kernel's, bytes are `/proc/PID/io` and the
files of the checkpoint. Times of epochs are those of `--progress json`. Results: a table, and `--json FILE`.
"""

import argparse
import json
import os
import shutil
import tempfile
from pathlib import Path

import feed
from process import Killed, Program, Ran

ROUNDS = 20
UPDATES_MAX = 1_000_000
GIGABYTE = 1_000_000_000


def megabytes(count: float) -> float:
    """Bytes as MB."""
    return round(count / 1e6, 1)


def middle(values: list[float]) -> float:
    """The median."""
    return sorted(values)[len(values) // 2]


def loaded(program: Program, keys: int, payload: int) -> dict[str, object]:
    """Brings every key into the state once."""
    feed.first(program.data, keys, payload)
    run = program.to_the_end()
    return {
        "load_seconds": round(run.seconds, 1),
        "load_keys_per_second": round(keys / run.seconds),
        "load_peak_rss_mb": megabytes(run.peak_bytes),
    }


def changed(program: Program, keys: int, payload: int) -> dict[str, object]:
    """Epochs that change one key in a hundred; then a kill, and a start that has one more to do."""
    feed.rounds(program.data, keys, payload, ROUNDS, 1)
    run = program.to_the_end()
    times = [epoch["durationMs"]["triggerExecution"] for epoch in run.epochs]
    result: dict[str, object] = {
        "epochs": len(run.epochs),
        "epoch_ms_median": round(middle(times), 1),
        "epoch_ms_most": round(max(times), 1),
        "peak_rss_mb": megabytes(run.peak_bytes),
        "written_bytes_an_epoch": round(run.written_bytes / len(run.epochs)),
        "checkpoint_bytes_an_epoch": round(run.checkpoint_bytes / len(run.epochs)),
        "checkpoint_mb": megabytes(program.checkpoint_bytes()),
        "snapshots": len(program.snapshots()),
    }
    assert run.epochs[-1]["stateOperators"][0]["numRowsTotal"] == keys, "keys are missing"
    return result | restarted(program, keys, payload)


def restarted(program: Program, keys: int, payload: int) -> dict[str, object]:
    """A start after a kill in the middle of its work."""
    feed.rounds(program.data, keys, payload, 3, 1 + ROUNDS)
    killed = program.kill_after(epochs=1)
    start = program.start_and_stop()
    assert isinstance(killed, Killed)
    return {
        "restart_ready_seconds": round(start.ready_seconds, 3),
        "restart_first_epoch_seconds": round(start.first_epoch_seconds, 3),
        "restart_peak_rss_mb": megabytes(start.peak_bytes),
    }


def rocksdb(args: argparse.Namespace, work: Path) -> dict[str, object]:
    """N keys on disk."""
    program = Program(
        args.program, work, state_backend="rocksdb", state_memory=args.state_memory, parallelism=args.parallelism
    )
    result: dict[str, object] = {"keys": args.keys, "state_memory": args.state_memory}
    return result | loaded(program, args.keys, args.payload) | changed(program, args.keys, args.payload)


def memory(args: argparse.Namespace, work: Path) -> dict[str, object]:
    """Updates of keys in memory, beside the same rows without state."""
    keys = min(args.keys, UPDATES_MAX)
    program = Program(args.program, work, state_backend="memory", parallelism=args.parallelism)
    result: dict[str, object] = {"keys": keys} | loaded(program, keys, args.payload)
    again = 5
    feed.every_key(program.data, keys, args.payload, again, 1)
    with_state = program.to_the_end()
    without = Program(args.program, work / "without", state_backend="memory", parallelism=args.parallelism, keeps=False)
    feed.every_key(without.data, keys, args.payload, again, 1)
    plain = without.to_the_end()

    def nanoseconds(run: Ran, step: str) -> float:
        milliseconds = sum(epoch["durationMs"][step] for epoch in run.epochs)
        return milliseconds * 1e6 / sum(epoch["numInputRows"] for epoch in run.epochs)

    execute = nanoseconds(with_state, "execute") - nanoseconds(plain, "execute")
    whole = nanoseconds(with_state, "triggerExecution") - nanoseconds(plain, "triggerExecution")
    return result | {
        "ns_an_update": round(execute),
        "ns_an_update_with_journal": round(whole),
        "ns_a_row_without_state": round(nanoseconds(plain, "triggerExecution")),
        "peak_rss_mb": megabytes(with_state.peak_bytes),
    }


def recovery(args: argparse.Namespace, work: Path) -> dict[str, object]:
    """Starts: with about 1 GB of state in memory, the same in a store, and with none."""
    result: dict[str, object] = {}
    a_key = args.payload + 60
    keys = min(args.keys, GIGABYTE // a_key)
    for backend in ("memory", "rocksdb"):
        program = Program(args.program, work / backend, state_backend=backend, parallelism=args.parallelism)
        loaded(program, keys, args.payload)
        result |= {f"{backend}_{name}": value for name, value in restarted(program, keys, args.payload).items()}
        result[f"{backend}_checkpoint_mb"] = megabytes(program.checkpoint_bytes())
        shutil.rmtree(work / backend)
    empty = Program(args.program, work / "empty", state_backend="memory", parallelism=args.parallelism)
    feed.rounds(empty.data, 100, args.payload, 1, 0)
    start = empty.start_and_stop()
    result["state_mb"] = megabytes(keys * a_key)
    result["empty_ready_seconds"] = round(start.ready_seconds, 3)
    result["empty_first_epoch_seconds"] = round(start.first_epoch_seconds, 3)
    return result


PARTS = {"rocksdb": rocksdb, "memory": memory, "recovery": recovery}


def main() -> None:
    """Runs the parts asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=Path, help="the tidemill program, a release build for numbers that count")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; default: all")
    parser.add_argument("--keys", type=int, default=1_000_000, help="keys of the state, up to 20 million")
    parser.add_argument("--payload", type=int, default=100, help="bytes of text kept for a key")
    parser.add_argument("--state-memory", default="256MiB", help="the setting `state_memory` of the store")
    parser.add_argument("--parallelism", type=int, default=os.cpu_count() or 1, help="partitions and threads")
    parser.add_argument("--work", type=Path, help="directory for data and checkpoints; default: a temporary one")
    parser.add_argument("--json", type=Path, help="file for the results")
    args = parser.parse_args()
    if unknown := [part for part in args.parts if part not in PARTS]:
        parser.error(f"there is no part {unknown[0]}")
    results: dict[str, dict[str, object]] = {}
    with tempfile.TemporaryDirectory(dir=args.work, prefix="state-bench-") as work:
        for name in args.parts or PARTS:
            results[name] = PARTS[name](args, Path(work) / name)
            print(f"\n{name}")
            for key, value in results[name].items():
                print(f"  {key:<32} {value:>16,}" if isinstance(value, int | float) else f"  {key:<32} {value:>16}")
            shutil.rmtree(Path(work) / name)
    if args.json:
        args.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
