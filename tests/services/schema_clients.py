#!/usr/bin/env python3
"""Confluent's own client and serializers against a registry, run by the Python that has them.

    schema_clients.py URL TASK [USER:PASSWORD]

Prints what came of the task as JSON. Tasks: client (everything the client can ask), avro, json (serialize and
deserialize a record, registering the schema on the way), protobuf (serialize), refused (the status of a request).
"""

import json
import sys
import uuid

from confluent_kafka.schema_registry import Schema, SchemaReference, SchemaRegistryClient
from confluent_kafka.schema_registry.error import SchemaRegistryError
from confluent_kafka.serialization import MessageField, SerializationContext

USER_1 = {"type": "record", "name": "User", "namespace": "x", "fields": [{"name": "id", "type": "long"}]}
USER_2 = USER_1 | {"fields": [*USER_1["fields"], {"name": "name", "type": ["null", "string"], "default": None}]}
USER_3 = USER_1 | {"fields": [{"name": "id", "type": "string"}]}
ORDER = {"type": "record", "name": "Order", "fields": [{"name": "by", "type": "x.User"}]}
PERSON = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "title": "Person",
    "type": "object",
    "properties": {"id": {"type": "integer"}, "name": {"type": "string"}},
    "required": ["id"],
    "additionalProperties": False,
}


def code(work) -> int:
    """The error code of a call that must fail."""
    try:
        work()
    except SchemaRegistryError as error:
        return error.error_code
    raise AssertionError("it did not fail")


def avro(schema: dict, references: list | None = None) -> Schema:
    """A schema for the client."""
    return Schema(json.dumps(schema), "AVRO", references or [])


def client(registry: SchemaRegistryClient) -> dict:
    """Asks for everything the client can."""
    subject = f"users-{uuid.uuid4().hex[:6]}-value"
    first = registry.register_schema(subject, avro(USER_1))
    again = registry.register_schema(subject, avro(USER_1))
    told = {"same": first == again, "compatible": registry.test_compatibility(subject, avro(USER_2))}
    told["incompatible"] = registry.test_compatibility(subject, avro(USER_3))
    told["refused"] = code(lambda: registry.register_schema(subject, avro(USER_3)))
    second = registry.register_schema(subject, avro(USER_2))
    told["versions"] = registry.get_versions(subject)
    told["latest"] = registry.get_latest_version(subject).schema_id == second
    told["by_id"] = json.loads(registry.get_schema(first).schema_str) == USER_1
    told["version_1"] = registry.get_version(subject, 1).schema_id == first
    told["lookup"] = registry.lookup_schema(subject, avro(USER_2)).version
    told["listed"] = subject in registry.get_subjects()
    registry.set_compatibility(subject, "FULL_TRANSITIVE")
    told["level"] = registry.get_compatibility(subject)
    reference = SchemaReference("x.User", subject, 1)
    order = registry.register_schema(f"orders-{subject}", avro(ORDER, [reference]))
    told["references"] = [one.subject == subject for one in registry.get_schema(order).references]
    told["no_subject"] = code(lambda: registry.get_latest_version("nothing-of-the-kind"))
    told["no_version"] = code(lambda: registry.get_version(subject, 99))
    told["no_schema"] = code(lambda: SchemaRegistryClient(registry_conf).get_schema(2_000_000))
    told["invalid"] = code(lambda: registry.register_schema(subject, Schema('{"type":"strng"}', "AVRO")))
    told["referenced"] = code(lambda: registry.delete_version(subject, 1))
    told["deleted"] = registry.delete_subject(f"orders-{subject}")
    told["deleted_for_good"] = registry.delete_subject(f"orders-{subject}", permanent=True)
    told["deleted_version"] = registry.delete_version(subject, 1)
    return told


def wire(serializer, deserializer, value):
    """A value there and back; with the first byte of what is sent."""
    context = SerializationContext(f"t{uuid.uuid4().hex[:6]}", MessageField.VALUE)
    payload = serializer(value, context)
    return {"magic": payload[0], "back": deserializer(payload, context)}


def avro_wire(registry: SchemaRegistryClient) -> dict:
    """Avro, its schema registered by the serializer."""
    from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer

    return wire(AvroSerializer(registry, json.dumps(USER_2)), AvroDeserializer(registry), {"id": 7, "name": "Ann"})


def json_wire(registry: SchemaRegistryClient) -> dict:
    """JSON Schema."""
    from confluent_kafka.schema_registry.json_schema import JSONDeserializer, JSONSerializer

    text = json.dumps(PERSON)
    return wire(
        JSONSerializer(text, registry),
        JSONDeserializer(text, schema_registry_client=registry),
        {"id": 7, "name": "Ann"},
    )


def protobuf_wire(registry: SchemaRegistryClient) -> dict:
    """Protobuf: the serializer registers a descriptor in base64, and what it imports before it."""
    from confluent_kafka.schema_registry.protobuf import ProtobufSerializer
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, timestamp_pb2

    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(timestamp_pb2.DESCRIPTOR.serialized_pb)
    of = descriptor_pb2.FieldDescriptorProto
    user = descriptor_pb2.FileDescriptorProto(name="x/user.proto", package="x", syntax="proto3")
    message = user.message_type.add(name="User")
    message.field.add(name="id", number=1, type=of.TYPE_INT64, label=of.LABEL_OPTIONAL)
    order = descriptor_pb2.FileDescriptorProto(name="x/order.proto", package="x", syntax="proto3")
    order.dependency.extend(["x/user.proto", "google/protobuf/timestamp.proto"])
    message = order.message_type.add(name="Order")
    message.field.add(name="by", number=1, type=of.TYPE_MESSAGE, type_name=".x.User", label=of.LABEL_OPTIONAL)
    message.field.add(
        name="at", number=2, type=of.TYPE_MESSAGE, type_name=".google.protobuf.Timestamp", label=of.LABEL_OPTIONAL
    )
    message.field.add(name="tags", number=4, type=of.TYPE_STRING, label=of.LABEL_REPEATED)
    message.reserved_range.add(start=5, end=8)
    pool.Add(user)
    pool.Add(order)
    made = message_factory.GetMessageClass(pool.FindMessageTypeByName("x.Order"))
    serializer = ProtobufSerializer(made, registry, {"use.deprecated.format": False})
    context = SerializationContext(f"t{uuid.uuid4().hex[:6]}", MessageField.VALUE)
    payload = serializer(made(by={"id": 7}, tags=["a", "b"]), context)
    told = {"magic": payload[0]}
    latest = registry.get_latest_version(f"{context.topic}-value")
    told["type"] = latest.schema.schema_type
    told["references"] = [one.name for one in latest.schema.references]
    told["schema"] = latest.schema.schema_str
    return told


def refused(registry: SchemaRegistryClient) -> dict:
    """The status of a request that is refused."""
    try:
        registry.get_subjects()
    except SchemaRegistryError as error:
        return {"status": error.http_status_code}
    return {"status": 200}


TASKS = {"client": client, "avro": avro_wire, "json": json_wire, "protobuf": protobuf_wire, "refused": refused}

if __name__ == "__main__":
    registry_conf = {"url": sys.argv[1]}
    if len(sys.argv) > 3:
        registry_conf["basic.auth.user.info"] = sys.argv[3]
    print(json.dumps(TASKS[sys.argv[2]](SchemaRegistryClient(registry_conf))))
