"""A Delta table in an S3 bucket (moto's server): the program is killed at random moments and started
again, and `deltalake` reads every row once.
"""

import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from deltalake import DeltaTable

PROGRAM = Path(os.environ.get("CARGO_TARGET_DIR", "target")) / "debug" / "tidemill"
CLIENTS = Path(os.environ["TIDEMILL_CLIENTS_VENV"]) / "bin"
ROWS_A_FILE, FILES = 5, 60
KILLS = 4
CREATE_BUCKET = """
import boto3, sys
s3 = boto3.client("s3", endpoint_url=sys.argv[1], aws_access_key_id="k", aws_secret_access_key="s", region_name="us-east-1")
s3.create_bucket(Bucket="tables")
s3.put_object(Bucket="tables", Key="probe", Body=b"1", IfNoneMatch="*")
try:
    s3.put_object(Bucket="tables", Key="probe", Body=b"2", IfNoneMatch="*")
except s3.exceptions.ClientError:
    sys.exit(0)
sys.exit("this S3 knows no conditional put")
"""
SQL = """
SET output_mode = {mode};
CREATE TABLE events (id BIGINT, name STRING)
    WITH (connector = 'files', path = 'in', format = 'json', maxFilesPerTrigger = 1);
CREATE TABLE results WITH (connector = 'delta', path = 's3://tables/results', auto_compact_min_files = 10, {more}
    'storage.aws_endpoint' = '{endpoint}', 'storage.aws_allow_http' = 'true', 'storage.aws_region' = 'us-east-1',
    'storage.aws_access_key_id' = 'k', 'storage.aws_secret_access_key' = 's');
INSERT INTO results SELECT id, name FROM events;
"""


@pytest.fixture
def endpoint(tmp_path: Path) -> Iterator[str]:
    """An S3 server with a bucket."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with (tmp_path / "moto.log").open("wb") as log:
        command = [str(CLIENTS / "moto_server"), "-H", "127.0.0.1", "-p", str(port)]
        server = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        until_it_answers(port, server)
        url = f"http://127.0.0.1:{port}"
        subprocess.run([str(CLIENTS / "python"), "-c", CREATE_BUCKET, url], check=True)
        yield url
    finally:
        server.kill()
        server.wait()


def until_it_answers(port: int, server: subprocess.Popen[bytes]) -> None:
    """Waits until the port takes connections."""
    begun = time.monotonic()
    while time.monotonic() - begun < 60:
        assert server.poll() is None, "the server ended"
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("the server does not answer")


@pytest.mark.parametrize(("mode", "more"), [("append", ""), ("append", "primary_key = 'id',")])
def test_kills_lose_and_double_nothing(tmp_path: Path, endpoint: str, mode: str, more: str) -> None:
    dice = random.Random(7)
    (tmp_path / "in").mkdir()
    for file in range(FILES):
        ids = range(file * ROWS_A_FILE, (file + 1) * ROWS_A_FILE)
        lines = "".join(f'{{"id": {id}, "name": "n{id}"}}\n' for id in ids)
        (tmp_path / "in" / f"{file:04}.json").write_text(lines, encoding="utf-8")
    (tmp_path / "s3.sql").write_text(SQL.format(mode=mode, more=more, endpoint=endpoint), encoding="utf-8")
    command = [str(PROGRAM), "run", "s3.sql", "--trigger", "available-now", "--checkpoint", "ckpt", "--listen", "off"]
    killed = 0
    while True:
        with (tmp_path / "run.log").open("ab") as log:
            process = subprocess.Popen(command, cwd=tmp_path, stdout=log, stderr=log)
        if killed < KILLS:
            # a machine may be fast: the first of them comes early
            time.sleep(dice.uniform(0.4, 0.8) if killed == 0 else dice.uniform(0.8, 1.6))
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
                killed += 1
        if process.wait() == -signal.SIGKILL:
            continue
        assert process.returncode == 0, (tmp_path / "run.log").read_text()
        break
    assert killed > 0, "it was over before the first kill"
    options = {
        "aws_endpoint": endpoint,
        "aws_allow_http": "true",
        "aws_region": "us-east-1",
        "aws_access_key_id": "k",
        "aws_secret_access_key": "s",
    }
    table = DeltaTable("s3://tables/results", storage_options=options)
    found = sorted(table.to_pyarrow_table().column("id").to_pylist())
    assert found == list(range(FILES * ROWS_A_FILE))
    assert len(table.file_uris()) < FILES
