"""Apicurio Registry, from its distribution on Maven Central, in memory. Gives SCHEMA_REGISTRY_URL: its form of Confluent's API."""

import os
import shutil
from pathlib import Path

from harness import Running, cache_folder, free_port, run_to_end, spawn, wait_for_port

# the last line that runs on Java 17
VERSION = "2.6.13.Final"
ARTIFACT = f"io.apicurio:apicurio-registry-app:{VERSION}:tar.gz:all"
GET = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:unpack"
FETCH_SECONDS = 300.0
START_SECONDS = 300.0


def program(folder: Path) -> Path:
    """The folder of the program, fetched once."""
    kept = cache_folder("apicurio") / VERSION
    if not kept.is_dir():
        fresh = kept.with_name(f"{kept.name}.{os.getpid()}")
        command = ["mvn", "-B", "-q", GET, f"-Dartifact={ARTIFACT}", f"-DoutputDirectory={fresh}"]
        # it leaves markers where it runs
        run_to_end(["env", "-C", str(folder), *command], folder / "maven.log", FETCH_SECONDS)
        try:
            fresh.rename(kept)
        except OSError:  # another start was faster
            shutil.rmtree(fresh)
    return kept


def start(folder: Path) -> Running:
    """One registry."""
    folder.mkdir(parents=True, exist_ok=True)
    port, log = free_port(), folder / "apicurio.log"
    jar = program(folder) / f"apicurio-registry-app-{VERSION}-runner.jar"
    settings = [f"-Dquarkus.http.port={port}", "-Dquarkus.http.host=127.0.0.1"]
    process = spawn(["java", "-Xmx400m", *settings, "-jar", str(jar)], log)
    wait_for_port(port, process, log, START_SECONDS)
    return Running([process], {"SCHEMA_REGISTRY_URL": f"http://127.0.0.1:{port}/apis/ccompat/v7"})
