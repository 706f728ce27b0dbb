"""The system calls that strace has written down, one after another; interrupted ones put together again.

Must not know what they mean.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_CALL = re.compile(r"^(\d+)\s+(\w+)\((.*)\)\s+= (-?\d+)(?:<([^>]*)>)?")
_TEXT = re.compile(r'"([^"]*)"')
_FD = re.compile(r"(\d+)<([^>]*)>")
_HEX = re.compile(r"\\x([0-9a-f]{2})")


@dataclass(frozen=True)
class Call:
    """One that succeeded: its name, its arguments as strace writes them, and what it gave."""

    name: str
    arguments: str
    result: int

    def texts(self) -> list[bytes]:
        """The strings among the arguments."""
        return [plain(text) for text in _TEXT.findall(self.arguments)]

    def files(self) -> list[tuple[int, str]]:
        """The open files among the arguments: descriptor and path."""
        return [(int(number), plain(path).decode(errors="replace")) for number, path in _FD.findall(self.arguments)]

    def first_file(self) -> tuple[int, str] | None:
        """The open file that the call is made on."""
        found = _FD.match(self.arguments)
        return (int(found[1]), plain(found[2]).decode(errors="replace")) if found else None


def plain(text: str) -> bytes:
    """The bytes of a string, which `strace -xx` writes in hexadecimal."""
    return bytes.fromhex("".join(_HEX.findall(text))) if text.startswith("\\x") else text.encode()


def calls(trace: str) -> Iterator[Call]:
    """The calls of a trace (`strace -f -y`)."""
    open_calls: dict[str, str] = {}
    for line in trace.splitlines():
        process = line.split(" ", 1)[0]
        if line.endswith("<unfinished ...>"):
            open_calls[process] = line.removesuffix("<unfinished ...>").rstrip()
            continue
        if "resumed>" in line:
            line = open_calls.pop(process, "") + line.split("resumed>", 1)[1]
        if (call := _CALL.match(line)) and int(call[4]) >= 0:
            yield Call(call[2], call[3], int(call[4]))
