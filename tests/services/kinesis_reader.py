#!/usr/bin/env python3
"""Makes Kinesis streams and reads them with boto3, run by the Python that has it.

kinesis_reader.py ENDPOINT create STREAM SHARDS
kinesis_reader.py ENDPOINT read STREAM        prints a line of JSON a record, shard by shard, oldest first
"""

import json
import sys

import boto3


def main(endpoint: str, verb: str, stream: str, *more: str) -> int:
    """Does one thing."""
    kinesis = boto3.client(
        "kinesis",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="k",
        aws_secret_access_key="s",
    )
    if verb == "create":
        kinesis.create_stream(StreamName=stream, ShardCount=int(more[0]))
        kinesis.get_waiter("stream_exists").wait(StreamName=stream, WaiterConfig={"Delay": 1})
        return 0
    for shard in kinesis.list_shards(StreamName=stream)["Shards"]:
        name = shard["ShardId"]
        asked = {"StreamName": stream, "ShardId": name, "ShardIteratorType": "TRIM_HORIZON"}
        position = kinesis.get_shard_iterator(**asked)["ShardIterator"]
        while position:
            page = kinesis.get_records(ShardIterator=position, Limit=10000)
            for record in page["Records"]:
                told = {"shard": name, "key": record["PartitionKey"], "data": record["Data"].decode()}
                print(json.dumps(told))
            position = page["NextShardIterator"] if page["Records"] else None
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
