#!/usr/bin/env python3
"""Writes payloads with the serializers that producers use, run by the Python that has them.

    format_payloads.py KIND FOLDER

Prints the payloads as a JSON list of base64, null for a null payload. `confluent` makes a schema registry in FOLDER/schemas
as Tidemill keeps one; `read` prints the records in the payloads of stdin, each with the schema that the registry has.
"""

import base64
import datetime
import decimal
import io
import json
import sys
from pathlib import Path

import fastavro
from fastavro.schema import fingerprint, to_parsing_canonical_form

V1 = {
    "type": "record",
    "name": "shop.Order",
    "fields": [
        {"name": "id", "type": "int"},
        {"name": "name", "type": ["null", "string"]},
        {"name": "price", "type": {"type": "bytes", "logicalType": "decimal", "precision": 8, "scale": 2}},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "ignored", "type": {"type": "map", "values": {"type": "array", "items": "string"}}},
    ],
}
V2 = {
    **V1,
    "fields": [
        {**V1["fields"][0], "type": "long"},
        {"name": "channel", "type": {"type": "enum", "name": "Channel", "symbols": ["WEB", "SHOP"]}, "default": "WEB"},
        *V1["fields"][1:],
    ],
}
AT = datetime.datetime(2026, 3, 1, 12, tzinfo=datetime.timezone.utc)


def order(number: int) -> dict:
    """An order; the writer of the second schema takes what the first does not know."""
    return {
        "id": number,
        "name": f"n{number}" if number % 3 else None,
        "price": decimal.Decimal(number) / 4,
        "at": AT + datetime.timedelta(milliseconds=number),
        "ignored": {"k": ["a", "b"]},
        "channel": "SHOP",
    }


def plain(schema: dict, number: int) -> bytes:
    """An order without a frame."""
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema), order(number))
    return out.getvalue()


def with_bad(good: list[bytes], unknown: bytes) -> list[bytes | None]:
    """Bad payloads between the good ones: cut off, of another schema, empty, none of the format, null."""
    bad = [good[0][:-3], unknown, b"", b"\xff not a frame", None]
    return [*good[:3], *bad, *good[3:]]


def register(folder: Path, subject: str, schemas: list[dict]) -> None:
    """Puts versions of a subject into a registry that is a directory, with the ids 1, 2, ..."""
    (folder / "schemas" / "subjects" / subject).mkdir(parents=True)
    (folder / "schemas" / "ids").mkdir()
    for number, schema in enumerate(schemas, 1):
        text = json.dumps(schema)
        (folder / "schemas" / "subjects" / subject / f"{number}.avsc").write_text(text, encoding="utf-8")
        entry = json.dumps({"subject": subject, "version": number})
        (folder / "schemas" / "ids" / f"{number}.json").write_text(entry, encoding="utf-8")


def confluent(folder: Path) -> list[bytes | None]:
    """By Confluent's serializer, from two schemas in turn."""
    from confluent_kafka.schema_registry import SchemaRegistryClient
    from confluent_kafka.schema_registry.avro import AvroSerializer
    from confluent_kafka.serialization import MessageField, SerializationContext

    register(folder, "orders-value", [V1, V2])
    client = SchemaRegistryClient.new_client({"url": "mock://orders"})
    context = SerializationContext("orders", MessageField.VALUE)
    writers = [AvroSerializer(client, json.dumps(schema)) for schema in (V1, V2)]
    good = [writers[number % 2](order(number), context) for number in range(6)]
    assert [payload[:5] for payload in good[:2]] == [b"\0\0\0\0\1", b"\0\0\0\0\2"]
    return with_bad(good, b"\0\0\0\0\x63" + good[0][5:])


def single(folder: Path) -> list[bytes | None]:
    """As single objects, from two schemas in turn."""
    frames = []
    for number, schema in enumerate((V1, V2), 1):
        (folder / f"v{number}.avsc").write_text(json.dumps(schema), encoding="utf-8")
        crc = fingerprint(to_parsing_canonical_form(schema), "CRC-64-AVRO")
        frames.append(b"\xc3\x01" + bytes.fromhex(crc))
    good = [frames[number % 2] + plain((V1, V2)[number % 2], number) for number in range(6)]
    return with_bad(good, b"\xc3\x01" + bytes(8) + plain(V1, 0))


def bare(folder: Path) -> list[bytes | None]:
    """Without a frame, from one schema."""
    (folder / "v1.avsc").write_text(json.dumps(V1), encoding="utf-8")
    good = [plain(V1, number) for number in range(6)]
    return with_bad(good, good[0] + b"\0")


def protobuf(folder: Path) -> list[bytes | None]:
    """Messages of protobuf's own runtime, framed as Confluent does; the descriptor set goes to FOLDER/shop.pb."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, timestamp_pb2, wrappers_pb2

    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="shop.proto", package="shop.v1", syntax="proto3")
    file.message_type.add(name="Other")
    order_type = file.message_type.add(name="Order")
    order_type.enum_type.add(name="State").value.extend(
        [descriptor_pb2.EnumValueDescriptorProto(name=name, number=at) for at, name in enumerate(("NEW", "PAID"))]
    )
    line = order_type.nested_type.add(name="Line")
    line.field.add(name="sku", number=1, type=field.TYPE_STRING, label=field.LABEL_OPTIONAL)
    entry = order_type.nested_type.add(name="PropsEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, type=field.TYPE_STRING, label=field.LABEL_OPTIONAL)
    entry.field.add(name="value", number=2, type=field.TYPE_SINT32, label=field.LABEL_OPTIONAL)
    message, many = {"type": field.TYPE_MESSAGE, "label": field.LABEL_OPTIONAL}, field.LABEL_REPEATED
    order_type.field.add(name="id", number=1, type=field.TYPE_INT64, label=field.LABEL_OPTIONAL)
    order_type.field.add(
        name="state", number=2, type=field.TYPE_ENUM, type_name=".shop.v1.Order.State", label=field.LABEL_OPTIONAL
    )
    order_type.field.add(name="lines", number=3, type=field.TYPE_MESSAGE, type_name=".shop.v1.Order.Line", label=many)
    order_type.field.add(
        name="props", number=4, type=field.TYPE_MESSAGE, type_name=".shop.v1.Order.PropsEntry", label=many
    )
    order_type.field.add(name="at", number=5, type_name=".google.protobuf.Timestamp", **message)
    order_type.field.add(name="note", number=6, type_name=".google.protobuf.StringValue", **message)
    order_type.field.add(name="numbers", number=7, type=field.TYPE_INT32, label=many)
    order_type.field.add(name="unread", number=8, type=field.TYPE_BYTES, label=field.LABEL_OPTIONAL)
    imports = []
    for known in (timestamp_pb2, wrappers_pb2):
        imports.append(descriptor_pb2.FileDescriptorProto.FromString(known.DESCRIPTOR.serialized_pb))
        file.dependency.append(known.DESCRIPTOR.name)
    (folder / "shop.pb").write_bytes(descriptor_pb2.FileDescriptorSet(file=[*imports, file]).SerializeToString())
    pool = descriptor_pool.DescriptorPool()
    for one in (*imports, file):
        pool.Add(one)
    order_class = message_factory.GetMessageClass(pool.FindMessageTypeByName("shop.v1.Order"))
    good = []
    for number in range(6):
        made = order_class(id=number, state=number % 2, numbers=range(number), props={"k": -number}, unread=b"x" * 9)
        made.lines.add(sku=f"s{number}")
        made.at.FromDatetime(AT + datetime.timedelta(milliseconds=number))
        if number % 3:
            made.note.value = ""
        # the second message of its file
        good.append(b"\0\0\0\0\7\2\2" + made.SerializeToString())
    return with_bad(good, b"\0\0\0\0\7\0" + good[0][7:])


def events(_: Path) -> list[dict]:
    """CloudEvents, in turn structured and binary, as the SDK writes them for Kafka; then a batch; a bad one between."""
    from cloudevents.core.bindings.kafka import to_binary_event, to_structured_event
    from cloudevents.core.v1.event import CloudEvent

    records = []
    for number in range(4):
        attributes = {"type": "order.made", "source": "/shop/é", "id": f"e{number}", "time": AT, "tenant": "t1"}
        event = CloudEvent(attributes | {"datacontenttype": "application/json"}, {"id": number, "name": f"n{number}"})
        message = (to_binary_event if number % 2 else to_structured_event)(event)
        headers = {name: value.decode() for name, value in message.headers.items()}
        records.append({"value": base64.b64encode(message.value).decode(), "headers": headers})
    structured = [base64.b64decode(records[number]["value"]) for number in (0, 2)]
    bad = [{"value": base64.b64encode(structured[0][:-5]).decode()}]
    batch = [{"value": base64.b64encode(b"[" + b",".join(structured) + b"]").decode()}]
    return records[:2] + bad + records[2:] + batch


def read(folder: Path) -> list[dict]:
    """The records in framed payloads, read with the schemas of the registry."""
    rows = []
    for payload in json.load(sys.stdin):
        payload = base64.b64decode(payload)
        assert payload[0] == 0
        entry = json.loads((folder / "schemas" / "ids" / f"{int.from_bytes(payload[1:5], 'big')}.json").read_text())
        schema = fastavro.parse_schema(json.loads(entry["schema"]))
        body = io.BytesIO(payload[5:])
        rows.append({"subject": entry["subject"], **fastavro.schemaless_reader(body, schema)})
        assert not body.read()
    return rows


def main(kind: str, folder: str) -> None:
    """Prints the payloads of a kind, or what is in those of stdin."""
    if kind == "read":
        print(json.dumps(read(Path(folder)), default=str))
        return
    if kind == "events":
        print(json.dumps(events(Path(folder))))
        return
    payloads = {"confluent": confluent, "single": single, "bare": bare, "protobuf": protobuf}[kind](Path(folder))
    print(json.dumps([None if payload is None else base64.b64encode(payload).decode() for payload in payloads]))


if __name__ == "__main__":
    main(*sys.argv[1:])
