"""Programs from npm: the pinned versions, fetched the first time and kept in the cache folder. Needs `npm`."""

import json
import os
import shutil
from pathlib import Path

from harness import cache_folder, run_to_end

INSTALL = ("npm", "install", "--no-audit", "--no-fund", "--silent")


def modules(name: str, packages: dict[str, str], folder: Path) -> Path:
    """The folder `node_modules` of packages with their versions, kept under a name; the log goes to `folder`."""
    kept = cache_folder(name) / "-".join(packages.values())
    if not kept.is_dir():
        fresh = kept.with_name(f"{kept.name}.{os.getpid()}")
        fresh.mkdir(parents=True)
        (fresh / "package.json").write_text(json.dumps({"private": True}), encoding="utf-8")
        wanted = [f"{package}@{version}" for package, version in packages.items()]
        run_to_end([*INSTALL, "--prefix", str(fresh), *wanted], folder / "npm.log", seconds=300)
        try:
            fresh.rename(kept)
        except OSError:  # another start was faster
            shutil.rmtree(fresh)
    return kept / "node_modules"
