"""The disk of the checkpoint or of the tables gets full under a running program, with some bytes left each time.

{"room": "loop.ckpt" | "loop"}, "leaves": [0, 4096, .., "read-only"], "limits": true | false

The directory is moved to a disk of its own (a tmpfs). While the program runs the disk is filled but for so many bytes,
or is made read-only, and input comes; the program must say that it waits for the disk, and go on by itself once there is
room. With `limits` it looks at the disk before an epoch; without, a write in the middle of one fails.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request
from contextlib import contextmanager, suppress
from pathlib import Path

from harness import free_port
from life import Failed
from scene import Scene

KINDS = ("room",)
SIZE = 8 << 20
SECONDS_MAX = 20.0
STALLED = re.compile(r"WARN.*reason=\"disk\"")
RESUMED = re.compile(r"INFO.*(goes on|there is room again)")
NO_LIMITS = ("--set", "disk_free_min=0")


@contextmanager
def small_disk(directory: Path, size: int = SIZE):
    """The directory, with what it holds, on a disk of `size` bytes."""
    aside = directory.with_name(directory.name + ".aside")
    directory.rename(aside)
    directory.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", directory], check=True)
    try:
        shutil.copytree(aside, directory, dirs_exist_ok=True)
        yield directory
        shutil.rmtree(aside)
        shutil.copytree(directory, aside)
    finally:
        subprocess.run(["umount", "-l", directory], check=True)
        directory.rmdir()
        aside.rename(directory)


def fill(disk: Path, leave: int) -> None:
    """A file takes all room but `leave` bytes."""
    filler = disk / "filler"
    with filler.open("ab", buffering=0) as file, suppress(OSError):
        while file.write(b"\0" * (64 << 10)):
            pass
    os.truncate(filler, max(0, filler.stat().st_size - leave))


def remount(disk: Path, how: str) -> bool:
    """Makes a disk read-only or writable; false while a file is being written."""
    asked = subprocess.run(["mount", "-o", f"remount,{how}", disk], stderr=subprocess.DEVNULL, check=False)
    return asked.returncode == 0


def newest(checkpoint: Path) -> Path:
    """The newest segment of the journal with a record in it."""
    return max(file for file in checkpoint.glob("journal/*.log") if file.stat().st_size > 8)


def told(scene: Scene) -> str:
    """All that the program has said."""
    return scene.program.errors.read_text(encoding="utf-8", errors="replace")


def until(scene: Scene, life: subprocess.Popen, what: str, condition) -> bool:
    """Waits for a condition; false when the time is over. The program must not end meanwhile."""
    deadline = time.monotonic() + SECONDS_MAX
    while not condition():
        if life.poll() is not None:
            raise Failed(f"ended with code {life.returncode} before it {what}\n{told(scene)[-4000:]}")
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def run(scene: Scene, _kind: str, what: str) -> str:
    """Fills the disk again and again; gives what came of it."""
    scene.kill_midway()
    options = ["--trigger", "processing-time 2ms", "-v"]
    options += () if scene.wanted["limits"] else NO_LIMITS
    port = free_port()
    scene.program.command[-1] = f"127.0.0.1:{port}"
    with small_disk(scene.folder / what) as disk:
        before = newest(scene.checkpoint)
        life = scene.program.start(*options)
        try:
            until(scene, life, "ran", lambda: newest(scene.checkpoint) > before)
            for leave in scene.wanted["leaves"]:
                once(scene, life, disk, leave, port)
            life.send_signal(signal.SIGTERM)
            code = life.wait(SECONDS_MAX)
        finally:
            life.kill()
            life.wait()
            scene.program.command[-1] = "off"
    text = told(scene)
    if code != 0:
        raise Failed(f"ended with code {code} when asked to end\n{text[-4000:]}")
    for word in scene.wanted.get("says", []):
        if word not in text:
            raise Failed(f"never said '{word}': the fault came somewhere else\n{text[-4000:]}")
    stalls = len(STALLED.findall(text))
    scene.finish()
    return scene.compared(f"stalled {stalls} times, then all rows")


def ready(port: int) -> str:
    """What /readyz calls the query."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5):
            return "ready"
    except urllib.error.HTTPError as answer:
        return json.load(answer)["reasons"][0]["status"]


def once(scene: Scene, life: subprocess.Popen, disk: Path, leave: int | str, port: int) -> None:
    """One time that the disk takes no more."""
    stalls, resumed = len(STALLED.findall(told(scene))), len(RESUMED.findall(told(scene)))
    left = leave
    if leave == "read-only":
        until(scene, life, "left its disk alone", lambda: remount(disk, "ro"))
    begun = fed = 0.0

    def stalled() -> bool:
        nonlocal left, begun, fed
        # what it can still write without any trouble is less and less
        if leave != "read-only" and time.monotonic() - begun > 2:
            fill(disk, left)
            left, begun = left // 2, time.monotonic()
        if time.monotonic() - fed > 0.2:
            scene.pipeline.feed()
            fed = time.monotonic()
        return len(STALLED.findall(told(scene))) > stalls

    if not until(scene, life, "stalled", stalled):
        raise Failed(f"the disk took no more (leave {leave}), and nobody noticed\n{told(scene)[-4000:]}")
    if (status := ready(port)) != "stalled":
        raise Failed(f"it waits for its disk, and /readyz calls it {status}")
    if leave == "read-only":
        remount(disk, "rw")
    else:
        (disk / "filler").unlink()
    if not until(scene, life, "went on", lambda: len(RESUMED.findall(told(scene))) > resumed):
        raise Failed(f"there is room again, and it does not go on\n{told(scene)[-4000:]}")
