"""The rows: Parquet files, an epoch each. Keys come in an order that has nothing to do with how they are kept."""

from pathlib import Path

import numpy
import pyarrow
import pyarrow.parquet

ROWS_A_FILE = 200_000
# a prime larger than any number of keys: multiplying by it runs through all keys in a scattered order
SCATTER = 2_147_483_647


def first(folder: Path, keys: int, payload: int) -> None:
    """Every key once, in as many files as are needed."""
    for number, start in enumerate(range(0, keys, ROWS_A_FILE)):
        numbers = numpy.arange(start, min(start + ROWS_A_FILE, keys), dtype=numpy.int64)
        write(folder / f"0-{number:06}.parquet", numbers * SCATTER % keys, payload, number)


def rounds(folder: Path, keys: int, payload: int, count: int, turn: int) -> None:
    """Files with one key in a hundred each, other keys in each of them."""
    share = max(1, keys // 100)
    for number in range(turn, turn + count):
        numbers = numpy.arange(number * share, (number + 1) * share, dtype=numpy.int64)
        write(folder / f"1-{number:06}.parquet", numbers * SCATTER % keys, payload, number)


def every_key(folder: Path, keys: int, payload: int, count: int, turn: int) -> None:
    """Files with all keys each."""
    numbers = numpy.arange(keys, dtype=numpy.int64)
    for number in range(turn, turn + count):
        write(folder / f"2-{number:06}.parquet", numbers * SCATTER % keys, payload, number)


def some(folder: Path, keys: int, rows: int, payload: int, count: int) -> None:
    """Files with so many keys each, other keys in each of them, from all over the state."""
    for number in range(count):
        numbers = numpy.arange(number * rows, (number + 1) * rows, dtype=numpy.int64)
        write(folder / f"3-{number:06}.parquet", numbers * SCATTER % keys, payload, number)


def write(path: Path, keys: numpy.ndarray, payload: int, seed: int) -> None:
    """One file, under its name only when it is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    notes = [f"{key:016x}{seed:08x}".ljust(payload, "x")[:payload] for key in keys.tolist()]
    table = pyarrow.table({"k": keys, "amount": keys % 1000 / 4, "note": notes})
    hidden = path.with_name(f".{path.name}")
    pyarrow.parquet.write_table(table, hidden, compression="none", use_dictionary=False)
    hidden.rename(path)
