"""The inputs that engines read, made once by Tidemill's own generator and kept."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from measure import measure

HERE = Path(__file__).resolve().parent
SPAN_SECONDS = 7200
FILES = 10


def run_command(program: Path, pipeline: Path, checkpoint: Path, *options: str) -> list[str]:
    """`tidemill run`, quietly."""
    quiet = ["--listen", "off"] + ([] if "--progress" in options else ["--progress", "off"])
    return [str(program), "run", str(pipeline), "--checkpoint", str(checkpoint), *quiet, *options]


def fresh(folder: Path) -> Path:
    """An empty folder."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def events(
    program: Path, out: Path, count: int, *, files: int = FILES, users: int = 100_000, form: str = "json"
) -> Path:
    """Two hours of user events in so many files, each after the one before in time."""
    folder = out / f"events-{count}-{files}-{users}-{form}"
    if (folder / "complete").exists():
        return folder
    print(f"making {count:,} events in {folder}", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    env = os.environ | {
        "DATA": str(folder),
        "EVENTS": str(count),
        "RATE": str(-(-count // SPAN_SECONDS)),
        "A_FILE": str(-(-count // files)),
        "USERS": str(users),
        "FORMAT": form,
    }
    work = fresh(out / "make")
    command = run_command(program, HERE / "pipelines" / "data.sql", work / "checkpoint", "--set", "parallelism=1")
    measure(command, work / "log.txt", env)
    # an engine reads files by name or by time of change: both give the order in which they were written
    written = sorted(folder.glob(f"*.{form}"), key=lambda path: path.stat().st_mtime_ns)
    for number, path in enumerate(written):
        path.rename(folder / f"{number:05}.{form}")
    shutil.rmtree(folder / "_tidemill", ignore_errors=True)
    (folder / "complete").touch()
    return folder


def names(folder: Path, form: str = "json") -> list[Path]:
    """The files of some events, in order of their time."""
    return sorted(folder.glob(f"*.{form}"))


def in_lanes(folder: Path, lanes: int) -> Path:
    """The same events in as many files as there are readers, each in order of time: an engine that hands files to
    readers in an order of its own would find most of the events late."""
    merged = folder.with_name(f"{folder.name}-lanes-{lanes}")
    if (merged / "complete").exists():
        return merged
    shutil.rmtree(merged, ignore_errors=True)
    merged.mkdir()
    for lane in range(lanes):
        with (merged / f"lane-{lane}.json").open("wb") as out:
            for path in names(folder)[lane::lanes]:
                with path.open("rb") as part:
                    shutil.copyfileobj(part, out)
    (merged / "complete").touch()
    return merged
