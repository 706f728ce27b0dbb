"""Kinds of faults of the matrix, a file each.

A module names the KINDS it understands (keys of a scenario's `fault`) and has

    def run(scene: Scene, kind: str, what) -> str

which does the fault, compares, and gives in a few words what came of it; it raises `Failed` when that is wrong or when
the fault never came. Shared services come from `scene.services` (`pool.py`).
"""

import importlib
import pkgutil
from types import ModuleType


def by_kind() -> dict[str, ModuleType]:
    """The module of every kind."""
    modules = [importlib.import_module(f"faults.{found.name}") for found in pkgutil.iter_modules(__path__)]
    return {kind: module for module in modules for kind in module.KINDS}
