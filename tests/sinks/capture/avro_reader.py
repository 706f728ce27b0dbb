#!/usr/bin/env python3
"""Reads archives with fastavro, run by the Python that has it.

    avro_reader.py FOLDER

Prints, as JSON, the schema and the events of each archive below FOLDER by its name; a file that is cut off or
otherwise not whole is an error.
"""

import json
import sys
from pathlib import Path

import fastavro


def shown(event: dict) -> dict:
    """An event as JSON has it."""
    body = event["Body"]
    return {**event, "Body": None if body is None else body.decode()}


def main(folder: str) -> int:
    """Reads all archives a reader of the path would find."""
    found = {}
    root = Path(folder)
    for path in sorted(root.rglob("*.avro")):
        with path.open("rb") as file:
            reader = fastavro.reader(file)
            schema = json.loads(reader.metadata["avro.schema"])
            codec = reader.metadata["avro.codec"]
            events = [shown(event) for event in reader]
        found[str(path.relative_to(root))] = {"schema": schema, "codec": codec, "events": events}
    json.dump(found, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
