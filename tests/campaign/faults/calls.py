"""System calls that fail: strace injects the error and says that it did.

{"strace": "fdatasync:error=EIO:when=3"}      with `"at": "journal"` only those on the journal
"""

from life import Failed
from scene import Scene

KINDS = ("strace",)


def run(scene: Scene, _kind: str, call: str) -> str:
    """A run with failing calls, and one without."""
    scene.kill_midway()
    code = injected(scene, call)
    scene.check_end(code)
    if code == 0:
        return scene.compared("code 0, all rows")
    scene.finish()
    return scene.compared(f"code {code}, then all rows")


def injected(scene: Scene, call: str) -> int:
    """The code of a run in which a system call fails."""
    trace = ["strace", "-f", "-qq", "-o", str(scene.folder / "trace"), "-e", f"inject={call}"]
    trace += ["-e", f"trace={call.split(':')[0]}"]
    if scene.wanted.get("at") == "journal":
        newest = max(int(file.stem) for file in scene.checkpoint.glob("journal/*.log"))
        trace += ["-P", str(scene.checkpoint.resolve() / "journal" / f"{newest + 1:020}.log")]
    scene.program.command[:0] = trace
    try:
        code = scene.start()
    finally:
        del scene.program.command[: len(trace)]
    if "(INJECTED)" not in (scene.folder / "trace").read_text(encoding="utf-8", errors="replace"):
        raise Failed("no system call was made to fail")
    return code
