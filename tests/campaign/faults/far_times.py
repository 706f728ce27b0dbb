"""Rows of the year 9999 and of the year 1 come among the others.

{"far times": "9999-12-31T23:59:59.999Z 0001-01-01T00:00:00Z"}     with `settings` that keep the watermark: max_future_skew
"""

import json

from life import Failed
from scene import Scene

KINDS = ("far times",)


def run(scene: Scene, _kind: str, times: str) -> str:
    """The oracle's rows must come out as if the far ones were not there: the late is late, the other not over."""
    scene.kill_midway()
    for number, at in enumerate(times.split()):
        row = {"user": "user-1", "session": "far", "ts": at, "amount": 1}
        fresh = scene.folder / "in" / ".far"
        fresh.write_text(json.dumps(row) + "\n", encoding="ascii")
        fresh.rename(scene.folder / "in" / f"far-{number}.json")
        for _ in range(3):
            scene.pipeline.feed()
    code = scene.start()
    scene.check_end(code)
    if "too far ahead of the clock" not in scene.program.told():
        raise Failed(f"nothing was said of the row from the future\n{scene.program.told()}")
    return scene.compared("one row counted as ahead of the clock, all others in time")
