"""A checkpoint in an object store: the program is killed at random moments, on machine after machine; two processes
share one; `plan`, `--approve`, `dlq` and RocksDB work with it. Rows are compared exactly.
"""

import json
import random
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import buckets
import pytest
import services
from pipeline import PROGRAM

FILES, ROWS, KEYS = 30, 6, 5
KILLS = 6
SQL = """
{settings}
CREATE TABLE events (id BIGINT, k BIGINT) WITH (connector = 'files', path = 'in', format = 'json', maxFilesPerTrigger = 1);
CREATE TABLE out WITH (connector = 'files', path = 'out', format = 'json');
INSERT INTO out {query};
"""
COUNTS = "SELECT k, count(*) AS n, sum(id) AS total FROM events GROUP BY k"


@pytest.fixture(scope="module")
def env() -> Iterator[dict[str, str]]:
    """Both stores, each with an empty bucket."""
    with services.running(["azurite", "s3"]) as started:
        buckets.s3(started["S3_ENDPOINT"], "create")
        buckets.azure(started, "PUT", f"/{buckets.BUCKET}?restype=container")
        yield started


class Query:
    """A query with its input, its output and a checkpoint in a store."""

    def __init__(
        self, folder: Path, url: str, options: dict[str, str], query: str = COUNTS, files: int = FILES
    ) -> None:
        self.folder, self.files = folder, 0
        self.settings = {"checkpoint": url, "output_mode": "update", "snapshot_bytes": "2000", "epochs_retained": "3"}
        self.settings |= {f"storage.{name}": value for name, value in options.items()}
        (folder / "in").mkdir(parents=True)
        for _ in range(files):
            self.feed()
        self.write(query)

    def write(self, query: str) -> None:
        """The pipeline's text."""
        settings = "\n".join(f"SET {name} = '{value}';" for name, value in self.settings.items())
        (self.folder / "q.sql").write_text(SQL.format(settings=settings, query=query), encoding="utf-8")

    def feed(self, *lines: str) -> None:
        """One more file, which is one epoch."""
        ids = range(self.files * ROWS, (self.files + 1) * ROWS)
        rows = list(lines) or [json.dumps({"id": id, "k": id % KEYS}) for id in ids]
        fresh = self.folder / "in" / ".fresh"
        fresh.write_text("".join(f"{row}\n" for row in rows), encoding="utf-8")
        fresh.rename(self.folder / "in" / f"{self.files:04}.json")
        self.files += 1

    def start(self, *options: str) -> subprocess.Popen:
        """A life; without options over what is there."""
        command = [str(PROGRAM), "run", "q.sql", "--listen", "off", "--progress", "off"]
        command += options or ("--trigger", "available-now")
        return subprocess.Popen(command, cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def run(self, *options: str, code: int = 0) -> str:
        """A life to its end, which must have this code; what it said."""
        life = self.start("--trigger", "available-now", *options)
        out, told = life.communicate(timeout=60)
        assert life.returncode == code, f"code {life.returncode}\n{out}{told}"
        return out + told

    def tool(self, *words: str, code: int = 0) -> str:
        """Another verb of the program."""
        ended = subprocess.run([str(PROGRAM), *words], cwd=self.folder, capture_output=True, text=True, timeout=60)
        assert ended.returncode == code, f"code {ended.returncode}\n{ended.stdout}{ended.stderr}"
        return ended.stdout + ended.stderr

    def lose_the_machine(self) -> None:
        """Nothing but the store and the files of the user is left."""
        shutil.rmtree(self.folder / ".tidemill", ignore_errors=True)

    def published(self) -> Counter[tuple]:
        """Rows of the files that the sink's manifests name."""
        rows: Counter[tuple] = Counter()
        for manifest in sorted((self.folder / "out" / "_tidemill" / "log").glob("*.json")):
            for file in json.loads(manifest.read_text(encoding="utf-8"))["files"]:
                for line in (self.folder / "out" / file["name"]).read_text(encoding="utf-8").splitlines():
                    rows[tuple(json.loads(line).values())] += 1
        return rows

    def expected(self) -> Counter[tuple]:
        """What an update query over one file an epoch gives."""
        counts, totals, rows = Counter(), Counter(), Counter()
        for file in range(self.files):
            ids = range(file * ROWS, (file + 1) * ROWS)
            for id in ids:
                counts[id % KEYS] += 1
                totals[id % KEYS] += id
            rows.update({(key, counts[key], totals[key]): 1 for key in {id % KEYS for id in ids}})
        return rows


def killed(query: Query, machines: bool, *options: str) -> int:
    """Runs to the end through kills; gives how many hit it while it ran."""
    moments, hits = random.Random(11), 0
    for _ in range(KILLS):
        for _ in range(2):
            query.feed()
        life = query.start("--trigger", "available-now", *options)
        # a machine may be fast: the first of them comes early
        time.sleep(moments.uniform(0.25, 0.35) if hits == 0 else moments.uniform(0.3, 0.8))
        hits += life.poll() is None
        life.send_signal(signal.SIGKILL)
        life.communicate()
        if machines:
            query.lose_the_machine()
    query.run(*options)
    return hits


def test_kills_on_s3_lose_and_double_nothing(env: dict[str, str], tmp_path: Path) -> None:
    query = Query(tmp_path, f"s3://{buckets.BUCKET}/a/ck", buckets.s3_options(env["S3_ENDPOINT"]))
    assert killed(query, machines=True) > 0
    assert query.published() == query.expected()
    # the last kill may have come before old objects were removed
    for _ in range(12):
        query.feed()
    query.run()
    left = buckets.s3(env["S3_ENDPOINT"], "read", "a/ck/")
    snapshots = {name.split("/")[1] for name in left if name.startswith("snapshots/") and "-stop-" not in name}
    assert len(snapshots) <= 2, snapshots
    # the journal behind the older one is gone
    newest = json.loads(left[f"snapshots/{max(snapshots)}/manifest.json"])
    assert min(int(name[8:28]) for name in left if name.startswith("journal/")) == newest["journal_from"] > 0


def test_kills_on_azure_with_rocksdb(env: dict[str, str], tmp_path: Path) -> None:
    query = Query(tmp_path, f"az://{buckets.BUCKET}/a/ck", buckets.azure_options(env))
    assert killed(query, False, "--set", "state_backend=rocksdb") > 0
    query.lose_the_machine()
    for _ in range(2):
        query.feed()
    query.run("--set", "state_backend=rocksdb")
    assert query.published() == query.expected()


def test_two_processes_on_one_checkpoint(env: dict[str, str], tmp_path: Path) -> None:
    """The second one, on another machine, takes over; the first ends with 76 and writes nothing after."""
    options = buckets.s3_options(env["S3_ENDPOINT"])
    query = Query(tmp_path, f"s3://{buckets.BUCKET}/b/ck", options, files=3)
    first = query.start("--trigger", "processing-time 5ms")
    while len(list((tmp_path / "out" / "_tidemill" / "log").glob("*.json"))) < 3:
        assert first.poll() is None, first.communicate()
        time.sleep(0.02)
    first.send_signal(signal.SIGSTOP)
    query.feed()
    told = query.run("--set", "checkpoint_copy=other")
    before = query.published()
    assert before == query.expected(), told
    query.feed()
    first.send_signal(signal.SIGCONT)
    out, told = first.communicate(timeout=60)
    assert first.returncode == 76 and "taken over" in told, f"{first.returncode}: {out}{told}"
    assert query.published() == before
    query.run()
    assert query.published() == query.expected()


def test_one_machine_starts_one_of_them(env: dict[str, str], tmp_path: Path) -> None:
    query = Query(tmp_path, f"s3://{buckets.BUCKET}/c/ck", buckets.s3_options(env["S3_ENDPOINT"]), files=1)
    first = query.start("--trigger", "processing-time 5ms")
    while not list((tmp_path / "out" / "_tidemill" / "log").glob("*.json")):
        assert first.poll() is None, first.communicate()
        time.sleep(0.02)
    assert "another process" in query.run(code=76)
    query.feed()
    while len(list((tmp_path / "out" / "_tidemill" / "log").glob("*.json"))) < 2:
        assert first.poll() is None, first.communicate()
        time.sleep(0.02)
    first.send_signal(signal.SIGTERM)
    first.communicate(timeout=60)
    assert first.returncode == 0 and query.published() == query.expected()


def test_a_changed_query_is_planned_refused_and_approved(env: dict[str, str], tmp_path: Path) -> None:
    query = Query(tmp_path, f"s3://{buckets.BUCKET}/d/ck", buckets.s3_options(env["S3_ENDPOINT"]), files=4)
    query.run()
    assert "nothing is lost" in query.tool("plan", "q.sql")
    query.write("SELECT id AS k, count(*) AS n, sum(id) AS total FROM events GROUP BY id")
    assert "--approve" in query.tool("plan", "q.sql", code=78)
    left = buckets.s3(env["S3_ENDPOINT"], "read", "d/ck/")
    query.run(code=78)
    after = buckets.s3(env["S3_ENDPOINT"], "read", "d/ck/")
    assert after == left, "a start that was refused has changed the checkpoint"
    query.lose_the_machine()
    query.run("--approve")
    names = [name for name in buckets.s3(env["S3_ENDPOINT"], "read", "d/ck/") if name.startswith("metadata/")]
    assert len(names) == 2, names
    query.feed()
    query.run()
    assert not list((tmp_path / ".tidemill" / "copies").glob("*plan-*"))


def test_a_store_that_replaces_or_is_away_or_closed_is_refused(env: dict[str, str], tmp_path: Path) -> None:
    options = buckets.s3_options("http://127.0.0.1:1")
    query = Query(tmp_path / "away", f"s3://{buckets.BUCKET}/e/ck", options, files=1)
    told = query.run(code=75)
    assert "127.0.0.1:1" in told or "s3://" in told, told
    wrong = buckets.azure_options(env) | {"azure_storage_account_key": "bm90IHRoZSBrZXk="}
    query = Query(tmp_path / "closed", f"az://{buckets.BUCKET}/e/ck", wrong, files=1)
    assert "bm90IHRoZSBrZXk=" not in query.run(code=77)
    replaces = buckets.s3_options(env["S3_ENDPOINT"]) | {"aws_conditional_put": "disabled"}
    query = Query(tmp_path / "replaces", f"s3://{buckets.BUCKET}/e/ck", replaces, files=1)
    assert "conditional put is disabled" in query.run(code=78)


def test_tools_that_work_on_a_directory_say_so(env: dict[str, str], tmp_path: Path) -> None:
    query = Query(tmp_path, f"s3://{buckets.BUCKET}/f/ck", buckets.s3_options(env["S3_ENDPOINT"]), files=1)
    for words in (["dlq", "list", "--checkpoint"], ["state", "ls"]):
        assert "object store" in query.tool(*words, f"s3://{buckets.BUCKET}/f/ck", code=64)
