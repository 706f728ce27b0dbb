"""The object store of the checkpoint, or of the sink, breaks its answers or is away. A real S3 server stands behind.

{"store": {"of": "checkpoint" | "sink", "breaks": [..], "every": 4}}  every 4th request meets the next of the breaks
                                                                     (tests/services/broken_http.py); `"only": "PUT"`
{"store_away": {"of": "checkpoint", "seconds": 6}}                   for so long nothing passes
"""

import itertools
import json
import signal
import time
from collections import Counter
from urllib.parse import urlsplit

import buckets
import outputs
from broken_http import BrokenHttp
from deltalake import DeltaTable
from life import Failed
from proxy import Proxy
from scene import KILLED, SECONDS_MAX, Scene

KINDS = ("store", "store_away")
_BUCKETS = itertools.count()
_URL = "s3://{bucket}/{name}"


class Store:
    """A bucket, and what the program is told of it."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.endpoint = scene.services.settings("s3")["S3_ENDPOINT"]
        self.server_port = urlsplit(self.endpoint).port
        self.bucket = f"scene-{next(_BUCKETS)}"
        buckets.s3(self.endpoint, "create", bucket=self.bucket)

    def url(self, name: str) -> str:
        """A folder in it."""
        return _URL.format(bucket=self.bucket, name=name)

    def keep_checkpoint(self, port: int) -> None:
        """The checkpoint is in the store, which the program reaches at `port`."""
        command = self.scene.program.command
        command[command.index("--checkpoint") + 1] = self.url("ck")
        options = buckets.s3_options(f"http://127.0.0.1:{port}")
        for name, value in options.items():
            self.scene.program.settings += ["--set", f"storage.{name}={value}"]

    def keep_results(self, port: int) -> None:
        """The table of the results is in the store."""
        options = buckets.s3_options(f"http://127.0.0.1:{port}")
        given = ", ".join(f"'storage.{name}' = '{value}'" for name, value in options.items())
        given = given.replace("storage.allow_http", "storage.aws_allow_http")
        file = self.scene.folder / "loop.sql"
        text = file.read_text(encoding="utf-8")
        changed = text.replace("path = 'loop/results'", f"path = '{self.url('results')}', {given}")
        if changed == text:
            raise Failed("the pipeline does not name its table as expected")
        file.write_text(changed, encoding="utf-8")
        self.scene.pipeline.results = self.results

    def results(self, _name: str) -> Counter[tuple]:
        """The rows of the table, read past the proxy."""
        options = buckets.s3_options(self.endpoint)
        options["aws_allow_http"] = options.pop("allow_http")
        table = DeltaTable(self.url("results"), storage_options=options).to_pyarrow_dataset()
        return Counter(outputs.rows(table.to_table(use_threads=False)))

    def check_commits(self) -> str:
        """Every epoch is committed once to the table, in order."""
        log = buckets.s3(self.endpoint, "read", "results/_delta_log/", self.bucket)
        names = sorted(name for name in log if name.endswith(".json") and "/" not in name)
        lines = [json.loads(line) for name in names for line in log[name].splitlines()]
        epochs = [line["txn"]["version"] for line in lines if "txn" in line]
        if epochs != sorted(set(epochs)):
            raise Failed(f"epochs are committed twice or out of order: {epochs}")
        return f"{len(epochs)} commits, one an epoch"


def run(scene: Scene, kind: str, what: dict) -> str:
    """A life that is killed, and one to the end, both with the fault."""
    store = Store(scene)
    keep = store.keep_checkpoint if what["of"] == "checkpoint" else store.keep_results
    if kind == "store_away":
        return away(scene, store, keep, what["seconds"])
    only = what.get("only", "")
    matches = (lambda method, path: method == only and what.get("path", "") in path) if only else (lambda *_: True)
    with BrokenHttp(store.server_port, what["breaks"], what["every"], matches) as proxy:
        keep(proxy.port)
        life = scene.program.start("--trigger", "processing-time 2ms", "--fault", "sink-committed:24:kill")
        if life.wait(SECONDS_MAX) != KILLED:
            raise Failed(f"the pipeline was not killed at its step\n{scene.program.told()}")
        for _ in range(3):
            scene.pipeline.feed()
        scene.check_end(scene.start())
        missed = [one for one in what["breaks"] if not proxy.met[one]]
    if missed:
        raise Failed(f"these never came: {missed}; {dict(proxy.requests)} requests")
    told = f", {store.check_commits()}" if what["of"] == "sink" else ""
    met = ", ".join(f"{count} {one}" for one, count in proxy.met.items())
    return scene.compared(f"all rows through {met}{told}")


def away(scene: Scene, store: Store, keep, seconds: float) -> str:
    """The store goes away in the middle of a life and comes back."""
    with Proxy(store.server_port) as proxy:
        keep(proxy.port)
        life = scene.program.start("--trigger", "processing-time 2ms")
        try:
            seen = until(scene, life, lambda rows: rows.total() > 0)
            proxy.blackhole = True
            for _ in range(10):
                scene.pipeline.feed()
            time.sleep(1)
            before = scene.pipeline.results("loop")
            time.sleep(seconds)
            if "stands still" not in (told := scene.program.told()):
                raise Failed(f"the query does not say that it waits\n{told}")
            if scene.pipeline.results("loop") != before or life.poll() is not None:
                raise Failed(f"the query went on without its checkpoint's store\n{scene.program.told()}")
            proxy.blackhole = False
            until(scene, life, lambda rows: rows.total() > before.total())
            life.send_signal(signal.SIGTERM)
            if (code := life.wait(SECONDS_MAX)) != 0:
                raise Failed(f"ended with code {code}\n{scene.program.told()}")
        finally:
            life.kill()
            life.wait()
        if "goes on" not in scene.program.told():
            raise Failed(f"the query does not say that it goes on\n{scene.program.told()}")
        scene.finish()
    return scene.compared(f"stood still for {seconds:g} s after {seen.total()} rows, then all rows")


def until(scene: Scene, life, condition) -> Counter:
    """Waits until the rows of the results are as wanted."""
    deadline = time.monotonic() + SECONDS_MAX
    while time.monotonic() < deadline:
        if life.poll() is not None:
            raise Failed(f"the query ended with code {life.returncode}\n{scene.program.told()}")
        written = any((scene.folder / "loop" / "results" / "_delta_log").glob("*.json"))
        if written and condition(rows := scene.pipeline.results("loop")):
            return rows
        time.sleep(0.05)
    raise Failed(f"the query makes no progress\n{scene.program.told()}")
