"""Kinesis, on kinesalite."""

import json
from pathlib import Path

from harness import stop
from kinds.kinesalite import Server
from kinesis_streams import AWS, FAST, Feeder, Stream
from place import Place, Start, Subject

BROKEN = b'{"lane": 0, "number": "no'
SECRET = "s3ntinel-of-the-stream"


class Shard(Place):
    """A stream of one shard: kinesalite has no order between shards that a test could hold on to."""

    frugal = {"buffer_bytes": "4MiB"}

    def __init__(self, endpoint: str, feeder: Feeder, name: str) -> None:
        self.stream, self.secrets, self.first = Stream(feeder, name, 1), (SECRET,), None
        more = {"connector": "kinesis", "stream": name, "endpoint": endpoint, "format": "json"}
        self.options = {**FAST, **AWS, **more, "secret_access_key": SECRET, "starting_position": "trim_horizon"}

    def feed(self, texts: list[str]) -> None:
        for text in texts:
            places = self.stream.put([(str(json.loads(text)["lane"]), text.encode())])
            self.first = self.first or places[0][1]

    def starts(self) -> dict[str, Start]:
        time = {"starting_position": "at_timestamp", "starting_timestamp": "1000"}
        return {
            "trim_horizon": Start({"starting_position": "trim_horizon"}, True),
            "latest": Start({"starting_position": "latest"}, False),
            "at_timestamp": Start(time, True),
        }

    def spoil(self) -> tuple[bytes, str] | None:
        places = self.stream.put([("k", BROKEN)])
        return BROKEN, f"sequence number {places[0][1]}"


class Kinesis(Subject):
    """The server, and boto3 that feeds it."""

    name = "kinesis"

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.server = Server(folder)
        self.feeder = Feeder(self.server.endpoint)

    def place(self, name: str) -> Place:
        return Shard(self.server.endpoint, self.feeder, name)

    def close(self) -> None:
        self.feeder.__exit__()
        stop(self.server.process)
