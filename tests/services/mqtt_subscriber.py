#!/usr/bin/env python3
"""Subscribes with paho-mqtt, run by the Python that has it.

    mqtt_subscriber.py PORT FILTER SESSION SECONDS      until nothing came for SECONDS

Prints one line of JSON a message: topic, payload, retain, qos, dup, properties. The session is persistent: what came
while nobody was connected comes first; its first run prints nothing but makes it.
"""

import json
import queue
import sys

from paho.mqtt import client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

EXPIRY_SECONDS = 3600


def main(port: str, topics: str, session: str, seconds: str) -> int:
    """Prints what comes."""
    came: queue.Queue = queue.Queue()
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=session, protocol=mqtt.MQTTv5)
    client.on_message = lambda _client, _data, message: came.put(message)
    client.on_subscribe = lambda *_: came.put(None)
    properties = Properties(PacketTypes.CONNECT)
    properties.SessionExpiryInterval = EXPIRY_SECONDS
    client.connect("127.0.0.1", int(port), clean_start=False, properties=properties)
    client.subscribe(topics, qos=2)
    client.loop_start()
    patience = 20.0
    while True:
        try:
            message = came.get(timeout=patience)
        except queue.Empty:
            break
        patience = float(seconds)
        if message is None:
            continue
        told = {
            "topic": message.topic,
            "payload": message.payload.decode(),
            "retain": message.retain,
            "qos": message.qos,
            "properties": dict(getattr(message.properties, "UserProperty", [])),
            "content_type": getattr(message.properties, "ContentType", None),
        }
        print(json.dumps(told), flush=True)
    client.disconnect()
    client.loop_stop()
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
