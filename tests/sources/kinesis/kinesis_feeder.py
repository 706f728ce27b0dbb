#!/usr/bin/env python3
"""Makes, feeds, splits and merges Kinesis streams with boto3, run by the Python that has it: `kinesis_feeder.py ENDPOINT`.

Takes a line of JSON a command from standard input and answers with one. Data is Base64.
"""

import base64
import json
import sys
import time

import boto3

SECONDS = 30.0


class Feeder:
    """The commands; every method is one."""

    def __init__(self, endpoint: str) -> None:
        key = {"aws_access_key_id": "k", "aws_secret_access_key": "s", "region_name": "us-east-1"}
        self.kinesis = boto3.client("kinesis", endpoint_url=endpoint, **key)

    def create(self, stream: str, shards: int) -> None:
        """Makes a stream."""
        self.kinesis.create_stream(StreamName=stream, ShardCount=shards)
        self.active(stream)

    def delete(self, stream: str) -> None:
        """Deletes it, and waits until it is gone."""
        self.kinesis.delete_stream(StreamName=stream)
        deadline = time.monotonic() + SECONDS
        while stream in self.kinesis.list_streams()["StreamNames"]:
            assert time.monotonic() < deadline, f"{stream} is still there"
            time.sleep(0.02)

    def active(self, stream: str) -> None:
        """Waits until the stream has settled."""
        deadline = time.monotonic() + SECONDS
        while self.summary(stream)["StreamStatus"] != "ACTIVE":
            assert time.monotonic() < deadline, f"{stream} is not active"
            time.sleep(0.02)

    def summary(self, stream: str) -> dict:
        """What it says of itself."""
        said = self.kinesis.describe_stream_summary(StreamName=stream)["StreamDescriptionSummary"]
        return {"StreamStatus": said["StreamStatus"]}

    def put(self, stream: str, records: list[dict]) -> list[list[str]]:
        """Puts records, 500 with a request; gives the shard and the sequence number of each."""
        places = []
        for at in range(0, len(records), 500):
            entries = [
                {"PartitionKey": one["key"], "Data": base64.b64decode(one["data"]), **one.get("more", {})}
                for one in records[at : at + 500]
            ]
            answer = self.kinesis.put_records(StreamName=stream, Records=entries)
            assert answer.get("FailedRecordCount", 0) == 0, answer
            places += [[one["ShardId"], one["SequenceNumber"]] for one in answer["Records"]]
        return places

    def shards(self, stream: str) -> list[dict]:
        """Its shards."""
        return [
            {
                "id": shard["ShardId"],
                "open": "EndingSequenceNumber" not in shard["SequenceNumberRange"],
                "first": shard["HashKeyRange"]["StartingHashKey"],
                "last": shard["HashKeyRange"]["EndingHashKey"],
            }
            for shard in self.kinesis.list_shards(StreamName=stream)["Shards"]
        ]

    def split(self, stream: str, shard: str, at: str) -> None:
        """Splits a shard."""
        self.kinesis.split_shard(StreamName=stream, ShardToSplit=shard, NewStartingHashKey=at)
        self.active(stream)

    def merge(self, stream: str, shard: str, other: str) -> None:
        """Merges a shard with the one behind it."""
        self.kinesis.merge_shards(StreamName=stream, ShardToMerge=shard, AdjacentShardToMerge=other)
        self.active(stream)


def main(endpoint: str) -> int:
    """Serves commands until there are no more."""
    feeder = Feeder(endpoint)
    for line in sys.stdin:
        command = json.loads(line)
        try:
            answer = {"answer": getattr(feeder, command.pop("do"))(**command)}
        except Exception as error:  # noqa: BLE001 whoever asked is told
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
