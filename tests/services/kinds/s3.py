"""Amazon S3 as moto's server. Gives S3_ENDPOINT; any key and secret are taken."""

import os
import sys
from pathlib import Path

from harness import Running, free_port, spawn, wait_for_port


def start(folder: Path) -> Running:
    """Starts an S3 that keeps everything in memory and waits until it answers."""
    port = free_port()
    python = Path(os.environ.get("TIDEMILL_CLIENTS_VENV", sys.prefix)) / "bin" / "python"
    process = spawn([str(python), "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)], folder / "s3.log")
    wait_for_port(port, process, folder / "s3.log", seconds=60)
    return Running([process], {"S3_ENDPOINT": f"http://127.0.0.1:{port}"})
