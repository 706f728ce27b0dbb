"""Reads what a killed program has left: the journal of its checkpoint, its snapshots, the Delta log.

A second reading of formats that the program defines (journal.rs, snapshot.rs); it only looks, so that
the kill loop can tell which situations a start had to recover from.
"""

import json
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

MAGIC = b"TIDEMJ01"
_HEADER = struct.Struct("<II")


@dataclass(frozen=True)
class Facts:
    """The newest planned and committed epoch, the snapshots' epochs, and the journal's segments."""

    planned: int
    committed: int
    snapshots: tuple[int, ...]
    segments: tuple[int, ...]
    journal_bytes: int


def read(directory: Path) -> Facts:
    """The facts of a checkpoint; -1 stands for no epoch."""
    planned = committed = -1
    files = sorted((directory / "journal").glob("*.log"))
    size = 0
    for file in files:
        content = file.read_bytes()
        size += len(content)
        for kind, body in frames(content):
            if kind == b"P":
                planned = max(planned, json.loads(body)["epoch"])
            elif kind == b"C":
                committed = max(committed, json.loads(body)["epoch"])
    whole = sorted((directory / "snapshots").glob("*/manifest.json"))
    epochs = tuple(int(manifest.parent.name.split("-")[0]) for manifest in whole)
    # segments may all be new since a snapshot
    return Facts(
        max([planned, *epochs]), max([committed, *epochs]), epochs, tuple(int(file.stem) for file in files), size
    )


def frames(content: bytes) -> list[tuple[bytes, bytes]]:
    """Kind and body of every whole record."""
    found = []
    at = len(MAGIC)
    while len(content) >= at + _HEADER.size:
        length, checksum = _HEADER.unpack_from(content, at)
        body = content[at + _HEADER.size : at + _HEADER.size + length]
        if length == 0 or len(body) < length or zlib.crc32(body) != checksum:
            break
        found.append((body[:1], body[1:]))
        at += _HEADER.size + length
    return found


def delta_epoch(table: Path) -> int:
    """The newest epoch that a Delta table holds, as its log says; -1 for none."""
    for commit in sorted((table / "_delta_log").glob("*.json"), reverse=True):
        for line in commit.read_text(encoding="utf-8").splitlines():
            if (transaction := json.loads(line).get("txn")) is not None:
                return transaction["version"]
    return -1


def files_epoch(directory: Path) -> int:
    """The newest epoch that a directory of the files sink holds; -1 for none."""
    newest = max((directory / "_tidemill" / "log").glob("*.json"), default=None)
    return json.loads(newest.read_text(encoding="utf-8"))["epoch"] if newest else -1


def situation(facts: Facts, sinks: list[int]) -> str:
    """What the next start has to recover from; `sinks` are the newest epochs that the sinks hold."""
    if facts.planned <= facts.committed:
        return "nothing open"
    ahead = [epoch for epoch in sinks if epoch == facts.planned]
    if not ahead:
        return "an epoch planned, in no sink"
    return "an epoch in a sink, not committed"
