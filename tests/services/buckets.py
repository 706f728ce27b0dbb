"""Buckets of the object stores that tests start, made and read by clients that know nothing of us.

Needs the services `s3` or `azurite`.
"""

import base64
import hashlib
import hmac
import json
import os
import subprocess
import urllib.request
from email.utils import formatdate
from pathlib import Path

BUCKET = "bucket"
_S3 = """
import base64, boto3, json, sys
s3 = boto3.client("s3", endpoint_url=sys.argv[1], aws_access_key_id="k", aws_secret_access_key="s", region_name="us-east-1")
verb, bucket, prefix = sys.argv[2:5]
if verb == "create":
    s3.create_bucket(Bucket=bucket)
    sys.exit()
if verb == "delete":
    s3.delete_object(Bucket=bucket, Key=prefix)
    sys.exit()
found = {}
for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
    for key in (entry["Key"] for entry in page.get("Contents", [])):
        body = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        found[key[len(prefix):]] = base64.b64encode(body).decode()
json.dump(found, sys.stdout)
"""


def s3(endpoint: str, verb: str, prefix: str = "", bucket: str = BUCKET) -> dict[str, bytes]:
    """By boto3: `create` a bucket, `delete` an object, or `read` all that is below a prefix."""
    python = Path(os.environ["TIDEMILL_CLIENTS_VENV"]) / "bin" / "python"
    command = [str(python), "-c", _S3, endpoint, verb, bucket, prefix]
    told = subprocess.run(command, capture_output=True, check=True).stdout
    return {name: base64.b64decode(body) for name, body in json.loads(told or "{}").items()}


def s3_options(endpoint: str) -> dict[str, str]:
    """What the program is told of an S3 without TLS; any key is taken."""
    return {
        "aws_endpoint": endpoint,
        "aws_region": "us-east-1",
        "aws_access_key_id": "k",
        "aws_secret_access_key": "s",
        "allow_http": "true",
    }


def azure_options(env: dict[str, str]) -> dict[str, str]:
    """What the program is told of Azurite."""
    return {
        "azure_storage_endpoint": env["AZURITE_ENDPOINT"],
        "azure_storage_account_name": env["AZURITE_ACCOUNT"],
        "azure_storage_account_key": env["AZURITE_KEY"],
        "allow_http": "true",
    }


def azure(env: dict[str, str], method: str, resource: str) -> bytes:
    """A request to the blob service, signed by hand (SharedKey of the storage services' documentation)."""
    path, _, query = resource.partition("?")
    date, account = formatdate(usegmt=True), env["AZURITE_ACCOUNT"]
    named = "".join(f"\n{pair.replace('=', ':')}" for pair in sorted(query.split("&")) if pair)
    signed = f"{method}{chr(10) * 12}x-ms-date:{date}\nx-ms-version:2021-12-02\n/{account}/{account}{path}{named}"
    key = base64.b64decode(env["AZURITE_KEY"])
    signature = base64.b64encode(hmac.new(key, signed.encode(), hashlib.sha256).digest()).decode()
    headers = {"x-ms-date": date, "x-ms-version": "2021-12-02", "Authorization": f"SharedKey {account}:{signature}"}
    url = env["AZURITE_ENDPOINT"] + path + (f"?{query}" if query else "")
    with urllib.request.urlopen(urllib.request.Request(url, method=method, headers=headers)) as answer:  # noqa: S310
        return answer.read()
