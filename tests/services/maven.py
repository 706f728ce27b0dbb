"""Jars that Maven resolves from a pom, kept in the cache folder: one folder for each content of the pom.

Must not know what they are for.
"""

import hashlib
import os
import shutil
from pathlib import Path

from harness import cache_folder, run_to_end

COPY_JARS = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
SECONDS_MAX = 300


def jars(pom: Path, name: str, folder: Path) -> Path:
    """The folder of the jars that `pom` names; `name` is the cache's folder, and `folder` takes Maven's log."""
    kept = cache_folder(name) / hashlib.sha256(pom.read_bytes()).hexdigest()[:12]
    if not kept.is_dir():
        fresh = kept.with_name(f"{kept.name}.{os.getpid()}")
        command = ["mvn", "-B", "-q", "-f", str(pom), COPY_JARS, f"-DoutputDirectory={fresh}"]
        run_to_end(command, folder / "maven.log", SECONDS_MAX)
        try:
            fresh.rename(kept)
        except OSError:  # another start was faster
            shutil.rmtree(fresh)
    return kept
