"""Azure Blob Storage as Azurite, from npm. Gives AZURITE_ENDPOINT, AZURITE_ACCOUNT and AZURITE_KEY.

Needs `npm`, which fetches the pinned version the first time; it is kept in the cache folder.
"""

from pathlib import Path

import npm
from harness import Running, free_port, spawn, wait_for_port

VERSION = "3.35.0"
ACCOUNT = "devstoreaccount1"
# the key that every Azurite has, from its documentation
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


def start(folder: Path) -> Running:
    """Starts the blob service on data in `folder` and waits until it answers."""
    port = free_port()
    program = npm.modules("azurite", {"azurite": VERSION}, folder) / "azurite" / "dist" / "src" / "blob" / "main.js"
    command = ["node", str(program), "--blobPort", str(port), "--location", str(folder / "data")]
    process = spawn([*command, "--silent", "--skipApiVersionCheck", "--disableTelemetry"], folder / "azurite.log")
    wait_for_port(port, process, folder / "azurite.log", seconds=60)
    endpoint = f"http://127.0.0.1:{port}/{ACCOUNT}"
    return Running([process], {"AZURITE_ENDPOINT": endpoint, "AZURITE_ACCOUNT": ACCOUNT, "AZURITE_KEY": KEY})
