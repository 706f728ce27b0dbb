#!/usr/bin/env python3
"""What a checkpoint in an object store that answers late costs: the time from epoch to epoch, and the parts of it.

    checkpoint_latency.py --program PATH [--latency-ms 30] [--epochs 100]

A query over files, one an epoch, with a sink on the local disk; its checkpoint is in a local directory, and in an S3
(moto's server) behind a proxy that adds the latency to each request. The median of an epoch is printed for both, and
what one PUT to the store takes past the program.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "services"))

import buckets  # noqa: E402
import services  # noqa: E402
from broken_http import BrokenHttp  # noqa: E402

SQL = """
SET output_mode = update;
CREATE TABLE events (id BIGINT, k BIGINT) WITH (connector = 'files', path = 'in', format = 'json', maxFilesPerTrigger = 1);
CREATE TABLE out WITH (connector = 'files', path = 'out', format = 'json');
INSERT INTO out SELECT k, count(*) AS n FROM events GROUP BY k;
"""


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", type=Path, required=True)
    parser.add_argument("--latency-ms", type=float, default=30.0)
    parser.add_argument("--epochs", type=int, default=100)
    asked = parser.parse_args()
    with services.running(["s3"]) as env, tempfile.TemporaryDirectory() as folder:
        buckets.s3(env["S3_ENDPOINT"], "create")
        port = int(env["S3_ENDPOINT"].rsplit(":", 1)[1])
        with BrokenHttp(port, [], latency_seconds=asked.latency_ms / 1000) as proxy:
            endpoint = f"http://127.0.0.1:{proxy.port}"
            print(f"one PUT: {put_ms(endpoint):.1f} ms")
            store = {"checkpoint": f"s3://{buckets.BUCKET}/ck"}
            store |= {f"storage.{name}": value for name, value in buckets.s3_options(endpoint).items()}
            for name, settings in (("a local directory", {"checkpoint": "ck"}), ("the store", store)):
                print(f"checkpoint in {name}: {epochs(asked, Path(folder) / name.split()[-1], settings)}")


def put_ms(endpoint: str) -> float:
    """The median of one request through the proxy, in milliseconds."""
    took = []
    for number in range(30):
        request = urllib.request.Request(f"{endpoint}/{buckets.BUCKET}/probe-{number}", data=b"x", method="PUT")
        begun = time.perf_counter()
        urllib.request.urlopen(request).close()  # noqa: S310
        took.append((time.perf_counter() - begun) * 1000)
    return statistics.median(took)


def epochs(asked: argparse.Namespace, folder: Path, settings: dict[str, str]) -> str:
    """Runs the query; the median of its epochs after the first ten."""
    (folder / "in").mkdir(parents=True)
    for number in range(asked.epochs):
        rows = (json.dumps({"id": number * 5 + row, "k": row}) + "\n" for row in range(5))
        (folder / "in" / f"{number:05}.json").write_text("".join(rows), encoding="utf-8")
    (folder / "q.sql").write_text(SQL, encoding="utf-8")
    command = [str(asked.program.resolve()), "run", "q.sql", "--trigger", "available-now", "--listen", "off"]
    command += ["--progress", "json"]
    for name, value in settings.items():
        command += ["--set", f"{name}={value}"]
    told = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout
    reports = [json.loads(line) for line in told.splitlines() if line.startswith("{")]
    took = [report["durationMs"]["triggerExecution"] for report in reports if report["numInputRows"]][10:]
    return f"{statistics.median(took):.1f} ms an epoch, of {len(took)}"


if __name__ == "__main__":
    main()
