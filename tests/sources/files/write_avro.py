"""Writes an Avro object container file by fastavro; runs in the clients' environment: write_avro.py FILE CODEC FIRST LAST"""

import sys

import fastavro

SCHEMA = {
    "type": "record",
    "name": "row",
    "fields": [{"name": "id", "type": "long"}, {"name": "name", "type": ["null", "string"]}],
}
file, codec, first, last = sys.argv[1:]
rows = [{"id": id, "name": f"n{id}" if id % 2 else None} for id in range(int(first), int(last))]
with open(file, "wb") as out:
    fastavro.writer(out, fastavro.parse_schema(SCHEMA), rows, codec=codec)
