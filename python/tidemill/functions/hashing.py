"""Hashes and identifiers."""

from __future__ import annotations

from tidemill.column import Column, ColumnOrName, call, lit, to_column, to_columns

__all__ = [
    "crc32",
    "hash",
    "hll_sketch_estimate",
    "hll_union",
    "input_file_name",
    "md5",
    "monotonically_increasing_id",
    "sha",
    "sha1",
    "sha2",
    "uuid",
    "version",
    "xxhash64",
]


def crc32(col: ColumnOrName) -> Column:
    """The CRC-32 of bytes, as bigint."""
    return call("crc32", to_column(col))


def hash(*cols: ColumnOrName | list[ColumnOrName]) -> Column:
    """Spark's 32-bit hash of the values (Murmur3, seed 42)."""
    return call("hash", *to_columns(cols))


def hll_sketch_estimate(col: ColumnOrName) -> Column:
    """How many different values an HLL sketch has seen, about, as bigint."""
    return call("hll_sketch_estimate", to_column(col))


def hll_union(col1: ColumnOrName, col2: ColumnOrName, allowDifferentLgConfigK: bool | None = None) -> Column:
    """One HLL sketch of all that two have seen."""
    more = () if allowDifferentLgConfigK is None else (lit(allowDifferentLgConfigK),)
    return call("hll_union", to_column(col1), to_column(col2), *more)


def input_file_name() -> Column:
    """The file a row was read from."""
    return call("input_file_name")


def md5(col: ColumnOrName) -> Column:
    """The MD5 of bytes, in hexadecimal digits."""
    return call("md5", to_column(col))


def monotonically_increasing_id() -> Column:
    """A number that grows from row to row."""
    return call("monotonically_increasing_id")


def sha(col: ColumnOrName) -> Column:
    """The SHA-1 of bytes, in hexadecimal digits."""
    return call("sha", to_column(col))


def sha1(col: ColumnOrName) -> Column:
    """The SHA-1 of bytes, in hexadecimal digits."""
    return call("sha1", to_column(col))


def sha2(col: ColumnOrName, numBits: Column | int) -> Column:
    """The SHA-2 of bytes (224, 256, 384 or 512 bits), in hexadecimal digits."""
    return call("sha2", to_column(col), lit(numBits))


def uuid() -> Column:
    """A random UUID, fixed for each row of an epoch."""
    return call("uuid")


def version() -> Column:
    """The version of the engine."""
    return call("version")


def xxhash64(*cols: ColumnOrName | list[ColumnOrName]) -> Column:
    """Spark's 64-bit hash of the values (XXH64, seed 42)."""
    return call("xxhash64", *to_columns(cols))
