"""A disk that forgets: follows the system calls of a program and tells what could be on the disk at any moment.

A file's content is on the disk up to its last fsync; a name in a directory, or its absence, up to the directory's. All that came
later may be there or not, each file and directory by itself: the least a file system promises.

Must not know the program.
"""

import random
import re
from pathlib import Path

from strace import Call

TRACED = (
    "openat,write,pwrite64,writev,copy_file_range,fsync,fdatasync,rename,renameat,renameat2,link,linkat,mkdir,mkdirat,"
    "unlink,unlinkat,rmdir,ftruncate,lseek"
)


class File:
    """A file's content now, its writes since the last fsync, and what it was then."""

    def __init__(self) -> None:
        self.now = bytearray()
        self.synced = b""

    def write(self, at: int, content: bytes) -> None:
        """Bytes at a position."""
        if len(self.now) < at:
            self.now.extend(bytes(at - len(self.now)))
        self.now[at : at + len(content)] = content


class Folder:
    """A directory's entries now, and those it had at its last fsync."""

    def __init__(self) -> None:
        self.now: dict[str, File | Folder] = {}
        self.synced: dict[str, File | Folder] = {}


class Disk:
    """Everything below one directory, which is there and empty at first."""

    def __init__(self, root: Path, forgets: re.Pattern | None = None) -> None:
        self.root = root
        self.top = Folder()
        # fsyncs of paths that match are taken as not made: a planted bug
        self.forgets = forgets
        self.positions: dict[int, int] = {}

    def follow(self, call: Call) -> bool:
        """Takes one call in; true when it may have changed what is on the disk."""
        name, paths = call.name, [self._inside(Path(text.decode(errors="replace"))) for text in call.texts()]
        if name == "openat":
            return self._open(paths[0], call)
        if name in ("mkdir", "mkdirat"):
            return self._enter(paths[-1], Folder())
        if name.startswith("rename"):
            return self._rename(paths[0], paths[1])
        if name.startswith("link"):
            return self._enter(paths[1], self._find(paths[0]))
        if name.startswith("unlink") or name == "rmdir":
            return self._remove(paths[0])
        if name == "copy_file_range":
            return self._copy(call)
        return self._on_descriptor(call)

    def _on_descriptor(self, call: Call) -> bool:
        if (at := call.first_file()) is None:
            return False
        name, number, place = call.name, at[0], self._inside(Path(at[1]))
        node = self._find(place)
        if node is None:
            return False
        if name in ("fsync", "fdatasync"):
            if self.forgets is None or not self.forgets.search(str(place)):
                node.synced = dict(node.now) if isinstance(node, Folder) else bytes(node.now)
            return True
        if not isinstance(node, File):
            return False
        if name == "lseek":
            self.positions[number] = call.result
            return False
        last = call.arguments.rsplit(",", 1)[1] if name in ("ftruncate", "pwrite64") else "0"
        if name == "ftruncate":
            length = int(last)
            del node.now[length:]
            node.now.extend(bytes(length - len(node.now)))
            return True
        content = b"".join(call.texts())[: call.result]
        if name == "pwrite64":
            node.write(int(last), content)
        else:
            node.write(self.positions.get(number, 0), content)
            self.positions[number] = self.positions.get(number, 0) + call.result
        return True

    def _open(self, path: Path | None, call: Call) -> bool:
        self.positions[call.result] = 0
        if path is None:
            return False
        node = self._find(path)
        if node is None and "O_CREAT" in call.arguments:
            return self._enter(path, File())
        if isinstance(node, File) and "O_APPEND" in call.arguments:
            self.positions[call.result] = len(node.now)
        if isinstance(node, File) and "O_TRUNC" in call.arguments:
            node.now.clear()
            return True
        return False

    def _copy(self, call: Call) -> bool:
        (source, origin), (target, place) = call.files()[:2]
        one, other = self._find(self._inside(Path(origin))), self._find(self._inside(Path(place)))
        if not isinstance(other, File):
            return False
        if not isinstance(one, File):
            raise ValueError(f"{place} is copied from {origin}, which was not written here")
        at, to = self.positions.get(source, 0), self.positions.get(target, 0)
        other.write(to, bytes(one.now[at : at + call.result]))
        self.positions[source], self.positions[target] = at + call.result, to + call.result
        return True

    def _inside(self, path: Path) -> Path | None:
        """A path below the root; `None` for others and for files whose name is gone."""
        path = path if path.is_absolute() else self.root / path
        return path.relative_to(self.root) if path.is_relative_to(self.root) else None

    def _find(self, path: Path | None) -> File | Folder | None:
        node: File | Folder | None = self.top
        for part in path.parts if path is not None else ():
            node = node.now.get(part) if isinstance(node, Folder) else None
        return node if path is not None else None

    def _enter(self, path: Path | None, node: File | Folder | None) -> bool:
        parent = self._find(path.parent) if path is not None else None
        if not isinstance(parent, Folder) or node is None:
            return False
        parent.now[path.name] = node
        return True

    def _remove(self, path: Path | None) -> bool:
        parent = self._find(path.parent) if path is not None else None
        return isinstance(parent, Folder) and parent.now.pop(path.name, None) is not None

    def _rename(self, old: Path | None, new: Path | None) -> bool:
        node = self._find(old)
        return node is not None and self._enter(new, node) and (old == new or self._remove(old))

    def image(self, target: Path, dice: random.Random | None) -> None:
        """Writes what may be on the disk: only what was synced, or, with dice, also some of what was not."""
        _write(self.top, target, dice)


def _write(node: File | Folder, target: Path, dice: random.Random | None) -> None:
    kept = dice is not None and dice.random() < 0.5
    if isinstance(node, File):
        content = bytes(node.now) if kept else node.synced
        if kept and dice.random() < 0.3:
            # the page cache writes blocks as it likes: an end may be missing
            content = content[: max(len(node.synced), dice.randrange(len(content) + 1))]
        target.write_bytes(content)
        return
    target.mkdir(exist_ok=True)
    for name, one in (node.now if kept else node.synced).items():
        _write(one, target / name, dice)
