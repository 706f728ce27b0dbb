"""The process is killed at a step of an epoch (core/src/faults.rs), one or several lives in a row.

{"step": "planned", "hit": 2, "lives": 1}      on a pipeline that has begun, with state in memory and in RocksDB
"""

from life import Failed
from scene import KILLED, Scene

KINDS = ("step",)


def run(scene: Scene, _kind: str, step: str) -> str:
    """Lives that end at the step, then one that does not."""
    fault = scene.wanted["fault"]
    told = []
    scene.kill_midway()
    for backend in ("memory", "rocksdb"):
        # state changes its place with each: either reads the other's checkpoint
        scene.program.settings[:] = settings(scene, backend)
        for _ in range(3):
            scene.pipeline.feed()
        for life in range(fault.get("lives", 1)):
            code = scene.start("--trigger", "processing-time 2ms", "--fault", f"loop/{step}:{fault.get('hit', 1)}:kill")
            if code != KILLED or "fault" not in scene.program.told():
                raise Failed(f"life {life + 1} with state in {backend} did not come to {step}\n{scene.program.told()}")
        told.append(backend)
    scene.finish()
    return scene.compared(f"killed with state in {' and '.join(told)}, then all rows")


def settings(scene: Scene, backend: str) -> list[str]:
    """The pipeline's settings, with small snapshots where the step is part of one."""
    snapshots = "snapshot_bytes=512"
    given = [snapshots, f"state_backend={backend}", *scene.wanted.get("settings", [])]
    return [part for setting in given for part in ("--set", setting)]
