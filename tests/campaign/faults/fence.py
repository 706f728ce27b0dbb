"""Two processes on one checkpoint whose lock is no use, as on a network disk: the first is stopped at a step, the second
does all the work, the first goes on. It must end with 76 and write nothing.

{"taken_over_at": "planned"}  the step of an epoch at which the first stops
"""

import os
import signal
import time

from life import Failed
from scene import SECONDS_MAX, Scene

KINDS = ("taken_over_at",)
HIT = 12


def run(scene: Scene, _kind: str, step: str) -> str:
    """Both processes, and the rows before and after the first goes on."""
    first = scene.program.start("--trigger", "processing-time 2ms", "--fault", f"{step}:{HIT}:stop")
    try:
        until_stopped(scene, first.pid)
        (scene.checkpoint / "lock").unlink()
        scene.program.errors.rename(scene.folder / "first.log")
        for _ in range(3):
            scene.pipeline.feed()
        scene.finish()
        scene.compared("the second has all rows")
        before = scene.pipeline.results("loop")
        files = {file: file.stat().st_size for file in scene.checkpoint.rglob("*") if file.is_file()}
        scene.pipeline.feed()
        first.send_signal(signal.SIGCONT)
        code = first.wait(SECONDS_MAX)
    finally:
        first.kill()
        first.wait()
    told = (scene.folder / "first.log").read_text(encoding="utf-8", errors="replace")
    if code not in scene.wanted["codes"]:
        raise Failed(f"the first ended with code {code}, not one of {scene.wanted['codes']}\n{told}")
    if scene.pipeline.results("loop") != before:
        raise Failed(f"the first has written rows after it was overtaken\n{told}")
    if gone := [file.name for file in files if not file.exists()]:
        raise Failed(f"the first has removed {gone} of the second's checkpoint")
    scene.finish()
    return scene.compared(f"stopped at {step}, then code {code}; all rows")


def until_stopped(scene: Scene, pid: int) -> None:
    """Waits until the process has stopped itself."""
    deadline = time.monotonic() + SECONDS_MAX
    while time.monotonic() < deadline:
        found, status = os.waitpid(pid, os.WNOHANG | os.WUNTRACED)
        if found and os.WIFSTOPPED(status):
            return
        if found:
            raise Failed(f"the first process ended before it stopped\n{scene.program.told()}")
        time.sleep(0.01)
    raise Failed(f"the fault never came\n{scene.program.told()}")
