"""A checkpoint that is not what the program left: it must be refused by name, and nothing written.

{"flip" | "truncate" | "delete": "journal/*.log"}  the newest such file is damaged
{"swap": "journal/*.log"}                          the newest two change places
{"checkpoint": "removed" | "copied"}               it is gone; or a copy has run further than it
"""

import random
import shutil
from pathlib import Path

from life import Failed
from scene import Scene


def run(scene: Scene, kind: str, what: str) -> str:
    """A start on the damaged checkpoint, and one with the damage undone."""
    scene.kill_midway()
    if kind == "checkpoint":
        CHECKPOINTS[what](scene)
    else:
        files = sorted(file for file in scene.checkpoint.glob(what) if file.stat().st_size > 8)
        if len(files) < (2 if kind == "swap" else 1):
            raise Failed(f"there is no {what} to damage")
        FILES[kind](files)
    before = scene.pipeline.results("loop")
    code = scene.start()
    scene.check_end(code)
    if code == 0:
        return scene.compared("code 0, all rows")
    if scene.pipeline.results("loop") != before:
        raise Failed("a start that was refused has written rows")
    scene.restore()
    scene.finish()
    return scene.compared(f"code {code}, then all rows")


def flip(files: list[Path]) -> None:
    """One bit in the middle."""
    content = bytearray(files[-1].read_bytes())
    content[len(content) // 2] ^= 1 << random.Random(1).randrange(8)
    files[-1].write_bytes(content)


def truncate(files: list[Path]) -> None:
    """The second half is gone."""
    content = files[-1].read_bytes()
    files[-1].write_bytes(content[: len(content) // 2])


def swap(files: list[Path]) -> None:
    """The newest two change places."""
    one, other = files[-2].read_bytes(), files[-1].read_bytes()
    files[-2].write_bytes(other)
    files[-1].write_bytes(one)


def delete(files: list[Path]) -> None:
    """The newest is gone."""
    files[-1].unlink()


def removed(scene: Scene) -> None:
    """The whole checkpoint is gone."""
    shutil.rmtree(scene.checkpoint)


def copied(scene: Scene) -> None:
    """A copy of it runs to the end; what was copied is started then."""
    old = scene.kept
    scene.finish()
    scene.kept = scene.folder / "ahead"
    scene.checkpoint.rename(scene.kept)
    shutil.copytree(old, scene.checkpoint)


FILES = {"flip": flip, "truncate": truncate, "swap": swap, "delete": delete}
CHECKPOINTS = {"removed": removed, "copied": copied}
KINDS = (*FILES, "checkpoint")
