#!/usr/bin/env python3
"""Serializes values with Confluent's AvroSerializer, which registers their schema: `serialize.py URL TOPIC`, run by the
Python that has it. Takes {"schema": .., "values": [..]} from standard input; prints the payloads as a JSON list of base64.
"""

import base64
import json
import sys

from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext


def main(url: str, topic: str) -> None:
    """Reads, registers, writes."""
    given = json.load(sys.stdin)
    serializer = AvroSerializer(SchemaRegistryClient({"url": url}), json.dumps(given["schema"]))
    context = SerializationContext(topic, MessageField.VALUE)
    print(json.dumps([base64.b64encode(serializer(value, context)).decode() for value in given["values"]]))


if __name__ == "__main__":
    main(*sys.argv[1:])
