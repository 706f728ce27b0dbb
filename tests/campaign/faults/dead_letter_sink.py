"""The table of the dead letters cannot be written: the pipeline pauses, and drops neither a record nor a letter.

{"dead_letter_sink": "down" | "late"}     Postgres does not answer; or its answer to a commit is lost
"""

import json
import sys
import time
from pathlib import Path

from life import Failed
from scene import Scene

SERVICES = Path(__file__).resolve().parents[2] / "services"
sys.path.append(str(SERVICES))

from kinds.postgres import Server  # noqa: E402
from proxy import Proxy  # noqa: E402

from faults.poison import told  # noqa: E402

KINDS = ("dead_letter_sink",)
FILES, ROWS, BAD = 6, 20, 3


SQL = """
SET dead_letter = 'letters';
CREATE TABLE events (id BIGINT) WITH (connector = 'files', path = 'in', format = 'json', maxFilesPerTrigger = 1);
CREATE TABLE out WITH (connector = 'files', path = 'out', format = 'json');
CREATE TABLE letters WITH (connector = 'postgres', url = 'postgresql://127.0.0.1:{port}/postgres', table = 'letters',
    sslmode = 'disable', create_table = 'true', retry_timeout = '2 seconds');
INSERT INTO out SELECT id FROM events;
"""


def run(scene: Scene, _kind: str, how: str) -> str:
    """Two epochs with letters, the outage, and starts until all is there."""
    folder = scene.folder / "dead"
    (folder / "in").mkdir(parents=True)
    server = Server(scene.folder / "postgres")
    try:
        with Proxy(server.port) as proxy:
            (folder / "p.sql").write_text(SQL.format(port=proxy.port), encoding="utf-8")
            return outage(scene, folder, server, proxy, how)
    finally:
        server.process.kill()
        server.process.wait()


def outage(scene: Scene, folder: Path, server: Server, proxy: Proxy, how: str) -> str:
    """What the query does without its letters."""
    options = ["--trigger", "available-now", "--progress", "off", "--listen", "off"]
    command = [scene.program.command[0], "run", "p.sql", "--checkpoint", "ck", *options]
    feed(folder, 0, 2)
    expect(told(command, folder), [0])
    check(folder, server, 2)
    feed(folder, 2, FILES)
    if how == "late":
        proxy.drop_answer_to(b"COMMIT")
        expect(told(command, folder), [0])
        if proxy.dropped != 1:
            raise Failed("no answer was lost")
        check(folder, server, FILES)
        return "the answer was lost, all rows and letters once"
    server.kill()
    begun = time.monotonic()
    expect(told(command, folder), scene.wanted["codes"])
    ahead = len(rows(folder)) - 2 * (ROWS - BAD)
    if ahead > ROWS - BAD:
        raise Failed(f"{ahead} rows went on without their letters")
    server.start()
    expect(told(command, folder), [0])
    check(folder, server, FILES)
    return f"paused after {time.monotonic() - begun:.0f} s, then all rows and letters once"


def feed(folder: Path, first: int, end: int) -> None:
    """Files with bad records among the good ones."""
    for number in range(first, end):
        lines = [json.dumps({"id": number * ROWS + at}) for at in range(ROWS)]
        lines[5:8] = [f'{{"id": "bad {number} {at}"}}' for at in range(BAD)]
        (folder / "in" / f"{number}.json").write_text("\n".join(lines) + "\n", encoding="utf-8")


def expect(done, codes: list[int]) -> None:
    """The program ended as it must."""
    if done.returncode not in codes:
        raise Failed(f"ended with code {done.returncode}, not one of {codes}\n{done.stderr[-2000:]}")


def rows(folder: Path) -> list[int]:
    """What has come out."""
    files = (folder / "out").glob("*.json")
    return sorted(json.loads(line)["id"] for file in files for line in file.open(encoding="utf-8"))


def check(folder: Path, server: Server, files: int) -> None:
    """All good records and all bad ones, each once."""
    wanted = [at for at in range(files * ROWS) if not 5 <= at % ROWS < 8]
    if rows(folder) != wanted:
        raise Failed(f"the rows are {rows(folder)}")
    letters = server.psql("SELECT convert_from(value, 'UTF8') FROM letters").split("\n")
    due = [f'{{"id": "bad {number} {at}"}}' for number in range(files) for at in range(BAD)]
    if sorted(letters) != sorted(due):
        raise Failed(f"the letters are {letters}")
