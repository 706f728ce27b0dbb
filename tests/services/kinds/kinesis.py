"""Amazon Kinesis as moto's server: an emulation in memory, which knows shards, keys and sequence numbers, and neither
throttles nor checks credentials. Gives KINESIS_ENDPOINT.
"""

import os
import sys
from pathlib import Path

from harness import Running, free_port, spawn, wait_for_port


def start(folder: Path) -> Running:
    """Starts it and waits until it answers."""
    port = free_port()
    python = Path(os.environ.get("TIDEMILL_CLIENTS_VENV", sys.prefix)) / "bin" / "python"
    log = folder / "kinesis.log"
    process = spawn([str(python), "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)], log)
    wait_for_port(port, process, log, seconds=60)
    return Running([process], {"KINESIS_ENDPOINT": f"http://127.0.0.1:{port}"})
