"""The checkpoint of a released version goes on with this one, with other partitions and with state in another place.

{"release": "0.1.0"}      a folder of tests/checkpoints
"""

import json
import shutil
import subprocess
from collections import Counter
from pathlib import Path

from life import Failed
from scene import SECONDS_MAX, Scene

KINDS = ("release",)
RELEASES = Path(__file__).resolve().parents[2] / "checkpoints"
MORE = [{"word": "a", "n": 10, "ts": "2024-01-01T13:00:00Z"}, {"word": "z", "n": 1, "ts": "2024-01-01T13:30:00Z"}]


def run(scene: Scene, _kind: str, version: str) -> str:
    """Goes on in each way; the rows must be those of a run from the beginning."""
    expected = rows(began(scene, version))
    ways = [("memory", 1), ("memory", 3), ("rocksdb", 2), ("rocksdb", 4)]
    for backend, parallelism in ways:
        folder = scene.folder / f"{backend}-{parallelism}"
        shutil.copytree(RELEASES / version, folder)
        fates = planned(scene, folder)
        if set(fates.values()) != {"kept"}:
            raise Failed(f"state of {version} is not all kept: {fates}")
        for number, row in enumerate(MORE):
            (folder / "in" / f"{3 + number}.json").write_text(json.dumps(row) + "\n", encoding="ascii")
            go_on(scene, folder, f"state_backend={backend}", f"parallelism={parallelism}")
        if (seen := rows(folder)) != expected:
            raise Failed(f"{backend}, {parallelism} partitions: {seen} are not {expected}")
    return f"{len(fates)} operators kept, {expected.total()} rows, in {len(ways)} ways"


def began(scene: Scene, version: str) -> Path:
    """The same from the beginning, a file an epoch."""
    folder = scene.folder / "new"
    (folder / "in").mkdir(parents=True)
    shutil.copy(RELEASES / version / "pipeline.sql", folder)
    for file in sorted((RELEASES / version / "in").iterdir()):
        shutil.copy(file, folder / "in")
        go_on(scene, folder)
    for number, row in enumerate(MORE):
        (folder / "in" / f"{3 + number}.json").write_text(json.dumps(row) + "\n", encoding="ascii")
        go_on(scene, folder)
    return folder


def planned(scene: Scene, folder: Path) -> dict[str, str]:
    """What `tidemill plan` says of each operator's state."""
    command = [scene.program.command[0], "plan", "pipeline.sql", "--checkpoint", "checkpoint", "--format", "json"]
    told = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True, timeout=SECONDS_MAX).stdout
    plan = json.loads(told)
    return {one["id"]: one["fate"] for query in plan for one in query["operators"]}


def go_on(scene: Scene, folder: Path, *settings: str) -> None:
    """Runs over what is there."""
    command = [scene.program.command[0], "run", "pipeline.sql", "--checkpoint", "checkpoint", "--progress", "off"]
    command += ["--listen", "off", "--trigger", "available-now"]
    command += [part for setting in settings for part in ("--set", setting)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=SECONDS_MAX)
    if done.returncode:
        raise Failed(f"ended with code {done.returncode}\n{done.stderr}")


def rows(folder: Path) -> Counter[str]:
    """The rows of every table, as lines with its name."""
    found: Counter[str] = Counter()
    for manifest in sorted(folder.glob("out/*/_tidemill/log/*.json")):
        table = manifest.parents[2]
        for file in json.loads(manifest.read_text(encoding="utf-8"))["files"]:
            lines = (table / file["name"]).read_text(encoding="utf-8").splitlines()
            found.update(f"{table.name} {line}" for line in lines)
    return found
