"""Hears at once of files that appear or grow: Linux's inotify, without a package.

Must not know what the files mean.
"""

import ctypes
import os
import struct
from pathlib import Path

MODIFY, MOVED_TO, CREATE = 0x2, 0x80, 0x100
_EVENT = struct.Struct("iIII")
_LIBC = ctypes.CDLL(None, use_errno=True)


class Watch:
    """Directories that are watched, each under a name of ours; `fileno` is readable when something happened."""

    def __init__(self) -> None:
        self._handle = _checked(_LIBC.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC), "inotify_init1")
        self._names: dict[int, str] = {}

    def add(self, name: str, directory: Path) -> None:
        """Watches a directory that is there."""
        number = _LIBC.inotify_add_watch(self._handle, os.fsencode(directory), MODIFY | MOVED_TO | CREATE)
        self._names[_checked(number, str(directory))] = name

    def fileno(self) -> int:
        """For a selector."""
        return self._handle

    def read(self) -> list[tuple[str, str, bool]]:
        """What has happened since: name of the directory, name of the file, whether it is new."""
        try:
            content = os.read(self._handle, 64 << 10)
        except BlockingIOError:
            return []
        seen, at = [], 0
        while at < len(content):
            number, mask, _, length = _EVENT.unpack_from(content, at)
            at += _EVENT.size
            file = content[at : at + length].rstrip(b"\0")
            at += length
            if number in self._names:
                seen.append((self._names[number], os.fsdecode(file), bool(mask & (CREATE | MOVED_TO))))
        return seen

    def close(self) -> None:
        """Ends watching."""
        os.close(self._handle)


def _checked(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)
    return result
