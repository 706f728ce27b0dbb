"""Puts objects into a bucket by boto3; runs in the clients' environment.

put_objects.py ENDPOINT BUCKET feed PREFIX COUNT ROWS PAUSE    gzip of JSON lines, one object after the other
put_objects.py ENDPOINT BUCKET copy PREFIX FOLDER              the files of a folder
put_objects.py ENDPOINT BUCKET begin KEY FILE                  a multipart upload without its end; prints its id
put_objects.py ENDPOINT BUCKET finish KEY ID                   its end
"""

import gzip
import json
import sys
import time
from pathlib import Path

import boto3


def main(endpoint: str, bucket: str, verb: str, key: str, *more: str) -> None:
    """One verb."""
    s3 = boto3.client(
        "s3", endpoint_url=endpoint, aws_access_key_id="k", aws_secret_access_key="s", region_name="us-east-1"
    )
    if verb == "feed":
        count, rows, pause = int(more[0]), int(more[1]), float(more[2])
        for number in range(count):
            lines = "".join(json.dumps({"id": row}) + "\n" for row in range(number * rows, (number + 1) * rows))
            s3.put_object(Bucket=bucket, Key=f"{key}/{number:05}.json.gz", Body=gzip.compress(lines.encode()))
            time.sleep(pause)
    elif verb == "copy":
        folder = Path(more[0])
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            s3.put_object(Bucket=bucket, Key=f"{key}/{file.relative_to(folder)}", Body=file.read_bytes())
    elif verb == "begin":
        upload = s3.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
        part = s3.upload_part(Bucket=bucket, Key=key, UploadId=upload, PartNumber=1, Body=Path(more[0]).read_bytes())
        print(json.dumps({"upload": upload, "etag": part["ETag"]}))
    elif verb == "finish":
        begun = json.loads(more[0])
        parts = {"Parts": [{"ETag": begun["etag"], "PartNumber": 1}]}
        s3.complete_multipart_upload(Bucket=bucket, Key=key, UploadId=begun["upload"], MultipartUpload=parts)


if __name__ == "__main__":
    main(*sys.argv[1:])
