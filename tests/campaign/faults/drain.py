"""The program is asked to end, and killed some time later if it still runs.

{"drain": 10}      so many times, with up to two seconds between
"""

import random
import signal
import subprocess
import time

from life import Failed
from scene import Scene

from faults.room import newest, until

KINDS = ("drain",)
CODES = (0, -signal.SIGKILL)


def run(scene: Scene, _kind: str, times: int) -> str:
    """Ends it again and again, in every other round at once."""
    scene.kill_midway()
    dice = random.Random(13)
    codes = []
    for number in range(times):
        scene.pipeline.feed()
        before = newest(scene.checkpoint)
        life = scene.program.start("--trigger", "processing-time 2ms")
        until(scene, life, "ran", lambda before=before: newest(scene.checkpoint) > before)
        time.sleep(dice.uniform(0, 0.2))
        life.send_signal(signal.SIGTERM)
        try:
            life.wait(dice.uniform(0, 2) if number % 2 else dice.uniform(0, 0.02))
        except subprocess.TimeoutExpired:
            life.send_signal(signal.SIGKILL)
        codes.append(life.wait())
        if codes[-1] not in CODES:
            raise Failed(f"ended with code {codes[-1]} when asked to end\n{scene.program.told()}")
    drained, killed = codes.count(0), codes.count(-signal.SIGKILL)
    if not drained or not killed:
        raise Failed(f"drained {drained} times, killed {killed} times: not both came about")
    scene.finish()
    return scene.compared(f"drained {drained} times, killed {killed} times meanwhile, then all rows")
