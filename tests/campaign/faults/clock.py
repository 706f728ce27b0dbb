"""The clock of the machine jumps or stands still while the program works (libfaketime), and while it is started again.

    {"clock": "-3600"}        an hour back; seconds, or a point in time at which it stands still

The instants of epochs, which replays use again, must never go back.
"""

import json
import time
from pathlib import Path

import checkpoint
from life import Failed
from scene import SECONDS_MAX, Scene

KINDS = ("clock",)
LIBRARY = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
EPOCHS = 6


def run(scene: Scene, _kind: str, jump: str) -> str:
    """A life in which the clock jumps, a kill, and another life by that clock."""
    if LIBRARY is None:
        raise Failed("libfaketime is not here: run scripts/setup")
    told = scene.folder / "clock"
    told.write_text("+0", encoding="ascii")
    # waiting goes by the monotonic clock, which no one sets
    scene.program.env = {
        "LD_PRELOAD": str(LIBRARY),
        "FAKETIME_TIMESTAMP_FILE": str(told),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        # nor the times of files, which another machine may have given them
        "NO_FAKE_STAT": "1",
        "FAKETIME_DONT_RESET": "1",
    }
    life = scene.program.start("--trigger", "processing-time 5ms")
    try:
        works(scene, life, EPOCHS)
        told.write_text(jump, encoding="ascii")
        for _ in range(EPOCHS):
            scene.pipeline.feed()
        works(scene, life, EPOCHS)
    finally:
        life.kill()
        life.wait()
    instants = planned(scene.checkpoint)
    scene.finish()
    instants |= planned(scene.checkpoint)
    order = [instants[epoch] for epoch in sorted(instants)]
    if order != sorted(order):
        raise Failed(f"the instants of epochs go back: {order}")
    return scene.compared(f"{len(order)} epochs, whose clock never went back, then all rows")


def works(scene: Scene, life, epochs: int) -> None:
    """Waits until it has planned so many epochs more."""
    wanted = newest(scene.checkpoint) + epochs
    deadline = time.monotonic() + SECONDS_MAX
    while newest(scene.checkpoint) < wanted:
        if life.poll() is not None:
            raise Failed(f"the program ended with code {life.returncode}\n{scene.program.told()}")
        if time.monotonic() > deadline:
            raise Failed(f"the program stands still at epoch {newest(scene.checkpoint)}\n{scene.program.told()}")
        time.sleep(0.01)


def newest(directory: Path) -> int:
    """The newest planned epoch; -1 for none."""
    return max(planned(directory), default=-1)


def planned(directory: Path) -> dict[int, int]:
    """The instants of planned epochs that the journal has, in microseconds."""
    found = {}
    for file in sorted((directory / "journal").glob("*.log")):
        for kind, body in checkpoint.frames(file.read_bytes()):
            if kind == b"P":
                plan = json.loads(body)
                found[plan["epoch"]] = plan["timestamp"]
    return found
