"""The files sink in an S3 bucket (moto's server) and an Azure container (Azurite): the program is killed at
random moments and started again; every row is published once, as read by clients that know nothing of us.
"""

import base64
import csv
import hashlib
import hmac
import io
import json
import os
import random
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from email.utils import formatdate
from pathlib import Path

import duckdb
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "services"))
import services  # noqa: E402

PROGRAM = Path(os.environ.get("CARGO_TARGET_DIR", "target")) / "debug" / "tidemill"
CLIENTS = Path(os.environ["TIDEMILL_CLIENTS_VENV"]) / "bin" / "python"
ROWS_A_FILE, FILES, KILLS = 6, 15, 4
S3_OPTIONS = {
    "aws_endpoint": "{S3_ENDPOINT}",
    "aws_region": "us-east-1",
    "aws_access_key_id": "k",
    "aws_secret_access_key": "s",
    "allow_http": "true",
}
AZURE_OPTIONS = {
    "azure_storage_endpoint": "{AZURITE_ENDPOINT}",
    "azure_storage_account_name": "{AZURITE_ACCOUNT}",
    "azure_storage_account_key": "{AZURITE_KEY}",
    "allow_http": "true",
}
SQL = """
CREATE TABLE events (id BIGINT, day STRING)
    WITH (connector = 'files', path = 'in', format = 'json', maxFilesPerTrigger = 1);
CREATE TABLE results WITH (connector = 'files', path = '{path}', format = '{form}', partition_by = 'day', {options});
INSERT INTO results SELECT id, day FROM events;
"""
S3_CLIENT = """
import base64, boto3, json, sys
s3 = boto3.client("s3", endpoint_url=sys.argv[1], aws_access_key_id="k", aws_secret_access_key="s", region_name="us-east-1")
if sys.argv[2] == "create":
    s3.create_bucket(Bucket="results")
    sys.exit()
found = {}
for page in s3.get_paginator("list_objects_v2").paginate(Bucket="results", Prefix=sys.argv[2]):
    for key in (entry["Key"] for entry in page.get("Contents", [])):
        body = s3.get_object(Bucket="results", Key=key)["Body"].read()
        found[key[len(sys.argv[2]):]] = base64.b64encode(body).decode()
json.dump(found, sys.stdout)
"""


@pytest.fixture(scope="module")
def env() -> Iterator[dict[str, str]]:
    """Both stores, each with an empty bucket."""
    with services.running(["azurite", "s3"]) as started:
        from_s3(started, "create")
        azure(started, "PUT", "/results?restype=container")
        yield started


def from_s3(env: dict[str, str], prefix: str) -> dict[str, bytes]:
    """What is below a prefix, by boto3; `create` makes the bucket."""
    command = [str(CLIENTS), "-c", S3_CLIENT, env["S3_ENDPOINT"], prefix]
    told = subprocess.run(command, capture_output=True, check=True).stdout
    return {name: base64.b64decode(body) for name, body in json.loads(told or "{}").items()}


def azure(env: dict[str, str], method: str, resource: str) -> bytes:
    """A request to the blob service, signed by hand (SharedKey of the storage services' documentation)."""
    path, _, query = resource.partition("?")
    quoted = urllib.request.quote(path)
    date, account = formatdate(usegmt=True), env["AZURITE_ACCOUNT"]
    named = "".join(f"\n{pair.replace('=', ':')}" for pair in sorted(query.split("&")) if pair)
    signed = f"{method}{chr(10) * 12}x-ms-date:{date}\nx-ms-version:2021-12-02\n/{account}/{account}{quoted}{named}"
    key = base64.b64decode(env["AZURITE_KEY"])
    signature = base64.b64encode(hmac.new(key, signed.encode(), hashlib.sha256).digest()).decode()
    headers = {"x-ms-date": date, "x-ms-version": "2021-12-02", "Authorization": f"SharedKey {account}:{signature}"}
    url = env["AZURITE_ENDPOINT"] + quoted + (f"?{query}" if query else "")
    request = urllib.request.Request(url, method=method, headers=headers)
    with urllib.request.urlopen(request) as answer:  # noqa: S310
        return answer.read()


def pipeline(folder: Path, env: dict[str, str], path: str, form: str, options: dict[str, str]) -> Path:
    """The pipeline's file, and its input."""
    given = ", ".join(f"'storage.{name}' = '{value.format(**env)}'" for name, value in options.items())
    (folder / "in").mkdir()
    for number in range(FILES):
        rows = range(number * ROWS_A_FILE, (number + 1) * ROWS_A_FILE)
        lines = "".join(json.dumps({"id": row, "day": f"2026-01-0{row % 3 + 1} 10:00"}) + "\n" for row in rows)
        (folder / "in" / f"{number:04}.json").write_text(lines, encoding="utf-8")
    file = folder / "stores.sql"
    file.write_text(SQL.format(path=path, form=form, options=given), encoding="utf-8")
    return file


def command(file: Path) -> list[str]:
    """What runs the pipeline to its end."""
    return [str(PROGRAM), "run", str(file), "--trigger", "available-now", "--listen", "off", "--progress", "off"]


def run_and_kill(file: Path) -> int:
    """Runs the pipeline to its end through kills; gives how many of them hit it while it ran."""
    moments, hits = random.Random(5), 0
    for _ in range(KILLS):
        process = subprocess.Popen(command(file), cwd=file.parent, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(moments.uniform(0.05, 0.4))
        hits += process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait()
    ended = subprocess.run(command(file), cwd=file.parent, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return hits


def published(read: Callable[[str], bytes]) -> list[str]:
    """Names of the files that the manifests publish, as docs/connectors.md says they are to be read."""
    names: list[str] = []
    for number in range(10**6):
        try:
            manifest = json.loads(read(f"_tidemill/log/{number:020}.json"))
        except (KeyError, urllib.error.HTTPError):
            return names
        names = ([] if manifest["mode"] == "overwrite" else names) + [file["name"] for file in manifest["files"]]
    raise AssertionError("a log without an end")


def check(ids: list[int], names: list[str]) -> None:
    """Every row is there once, in the directory of its day."""
    assert sorted(ids) == list(range(ROWS_A_FILE * FILES))
    assert {name.split("/")[0] for name in names} == {f"day=2026-01-0{day} 10%3A00" for day in (1, 2, 3)}


def test_parquet_in_s3_through_kills(env: dict[str, str], tmp_path: Path) -> None:
    file = pipeline(tmp_path, env, "s3://results/a/parquet", "parquet", S3_OPTIONS)
    assert run_and_kill(file) > 0
    found, ids = from_s3(env, "a/parquet/"), []
    names = published(found.__getitem__)
    for number, name in enumerate(names):
        local = tmp_path / f"{number}.parquet"
        local.write_bytes(found[name])
        ids += [row[0] for row in duckdb.sql(f"SELECT id FROM '{local}'").fetchall()]
    check(ids, names)


def test_csv_in_azure_through_kills(env: dict[str, str], tmp_path: Path) -> None:
    file = pipeline(tmp_path, env, "az://results/a/csv", "csv", AZURE_OPTIONS)
    assert run_and_kill(file) > 0
    names = published(lambda name: azure(env, "GET", f"/results/a/csv/{name}"))
    texts = [azure(env, "GET", f"/results/a/csv/{name}").decode() for name in names]
    check([int(row["id"]) for text in texts for row in csv.DictReader(io.StringIO(text))], names)


def test_a_wrong_key_is_refused_and_no_message_says_it(env: dict[str, str], tmp_path: Path) -> None:
    wrong = base64.b64encode(b"not the key").decode()
    file = pipeline(tmp_path, env, "az://results/b", "csv", AZURE_OPTIONS | {"azure_storage_account_key": wrong})
    ended = subprocess.run(command(file), cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 77, ended.stderr
    # the line of the pipeline that is shown below the message is the user's own text
    assert wrong not in ended.stderr.splitlines()[0]
