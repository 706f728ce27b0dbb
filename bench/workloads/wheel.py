"""The size of what a user installs: our wheel, and the packages of the peers as they lie in their environments."""

import os
from pathlib import Path

from suite import Suite

PACKAGES = {
    "spark": ("pyspark",),
    "flink": ("pyflink", "apache_flink_libraries"),
    "bytewax": ("bytewax",),
    "duckdb": ("duckdb", "_duckdb*"),
    "polars": ("polars", "_polars_runtime_32"),
    "datafusion": ("datafusion", "pyarrow"),
}


def run(suite: Suite) -> None:
    """Bytes on disk."""
    for wheel in sorted(suite.asked.wheel.glob("tidemill-*.whl"))[-1:]:
        suite.add("wheel", "tidemill", wheel_mib=round(wheel.stat().st_size / 2**20, 1))
    suite.add("program", "tidemill", installed_mib=round(suite.program.stat().st_size / 2**20, 1))
    for name, packages in PACKAGES.items():
        if engine := suite.engine(name):
            root = Path(os.environ[engine.environment]) / "lib"
            found = [path for package in packages for path in root.glob(f"python*/site-packages/{package}")]
            size = sum(file.stat().st_size for path in found for file in [path, *path.rglob("*")] if file.is_file())
            suite.add("installed", name, installed_mib=round(size / 2**20, 1))
