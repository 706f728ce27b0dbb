"""One suite that every source passes, each on its real system: what a query owes its user whatever it reads.

A check that has no meaning for a source says so by the source's own description: one without an option for where to
begin, or whose rows are typed before they come.
"""

import json
import re
import signal
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import plans
import pytest
from harness import free_port
from kinesis_streams import published
from of_kafka import EventHubs, Kafka
from of_kinesis import Kinesis
from of_postgres import PostgresCdc
from of_pushed import Mqtt, Webhook
from of_stored import Delta, Files, Log
from place import Subject
from pushed import PROGRAM, WAIT_SECONDS, Query, wait_for
from sequences import Sequences

SUBJECTS = (Kafka, EventHubs, Kinesis, Webhook, Mqtt, PostgresCdc, Files, Delta, Log)
LANES = 2
# those that every epoch has, and a start: a query without state has few snapshots
STEPS = [step for step in plans.STEPS if not plans.Plan("step", step).snapshots]
NUMBERS = count()
BULK_BYTES = 128 << 20
PORTION_BYTES = 1 << 20
SETTLE_SECONDS = 2.0
LIVE = ("--trigger", "processing-time 5ms")


@pytest.fixture(scope="module", params=SUBJECTS, ids=lambda subject: subject.name)
def subject(request, tmp_path_factory) -> Iterator[Subject]:
    """Each of the sources, with its system."""
    one = request.param(tmp_path_factory.mktemp(request.param.name))
    yield one
    one.close()


class Story:
    """A place, a query that reads it, and what went in."""

    def __init__(self, subject: Subject, folder: Path, head: str = "", **more: object) -> None:
        self.name = f"c{next(NUMBERS)}"
        self.place = subject.place(self.name)
        self.sequences = Sequences()
        self.folder = folder / self.name
        self.head = head
        self.query = self.reading(**more)

    def reading(self, **more: object) -> Query:
        """The query, with these options besides."""
        options = self.place.options | more
        return Query(
            self.folder, options.pop("select", self.place.select), self.place.columns, head=self.head, **options
        )

    def feed(self, records: int) -> None:
        """So many records of each lane."""
        self.place.feed([self.sequences.next(lane) for _ in range(records) for lane in range(LANES)])

    def start(self, *options: str) -> None:
        """Starts the query; records may be handed to it when this returns."""
        self.query.start(*LIVE, *options)
        wait_for(self.place.is_ready, bool, self.query.says)

    def wrong(self) -> list[str]:
        """What is wrong with what came out."""
        return self.sequences.wrong([json.dumps(row) for row in self.query.rows()])

    def all_came(self) -> None:
        """Everything comes out, once and in order."""
        self.query.until(lambda rows: len(rows) >= self.sequences.total())
        assert self.query.stop() == 0, self.query.says()
        assert self.wrong() == []


def described(name: str) -> dict:
    """How the program describes a source."""
    done = subprocess.run([str(PROGRAM), "connectors", name, "--format", "json"], capture_output=True, check=True)
    return next(one for one in json.loads(done.stdout) if one["role"] == "source")


def test_a_new_query_begins_where_it_is_told(subject, tmp_path) -> None:
    ways = list(subject.place(f"c{next(NUMBERS)}").starts())
    if not ways:
        assert not [one["name"] for one in described(subject.name)["options"] if one["name"].startswith("starting")]
    for way in ways:
        story = Story(subject, tmp_path)
        story.feed(3)
        start = story.place.starts()[way]
        story.query = story.reading(**start.options)
        with story.query as query:
            story.start()
            if not start.reads_what_is_there:
                # what was there does not come; when the first record does, the query has begun
                def comes(story=story) -> bool:
                    story.feed(1)
                    return len({row["lane"] for row in story.query.rows()}) == LANES

                wait_for(comes, bool, query.says)
            story.feed(3)
            last = story.sequences.made[0] - 1

            def is_through(rows: list[dict], last=last) -> bool:
                return all(any((row["lane"], row["number"]) == (lane, last) for row in rows) for lane in range(LANES))

            rows = query.until(is_through)
            assert query.stop() == 0, query.says()
        for lane in range(LANES):
            seen = [row["number"] for row in rows if row["lane"] == lane]
            assert seen == list(range(seen[0], last + 1)), f"{way}: {seen}"
            assert (seen[0] == 0) if start.reads_what_is_there else (seen[0] >= 3), f"{way}: {seen}"


def test_a_kill_at_any_step_loses_and_doubles_nothing(subject, tmp_path) -> None:
    story = Story(subject, tmp_path)
    stem = story.query.sql.stem
    with story.query as query:
        fed = threading.Thread(target=lambda: [story.feed(2) for _ in range(4 * len(STEPS))])
        if story.place.is_pushed:
            fed.start()
        for step in STEPS:
            if not story.place.is_pushed:
                story.feed(2)
            query.start(*LIVE, "--fault", f"{stem}/{step}:1:kill")
            assert query.ended() == -signal.SIGKILL, f"{step}: {query.says()}"
        query.start(*LIVE)
        if story.place.is_pushed:
            fed.join()
        story.all_came()


def test_nothing_is_acknowledged_before_it_is_committed(subject, tmp_path) -> None:
    story = Story(subject, tmp_path)
    with story.query as query:
        story.start()
        story.feed(1)
        query.until(lambda rows: len(rows) == LANES)
        assert query.stop() == 0, query.says()
        if not story.place.is_pushed:
            story.feed(2)
        before = story.place.acknowledged()
        query.start(*LIVE, "--fault", f"{query.sql.stem}/executing:1:stop")
        fed = threading.Thread(target=story.feed, args=(1,))
        if story.place.is_pushed:
            wait_for(story.place.is_ready, bool, query.says)
            fed.start()
        status = Path(f"/proc/{query.process.pid}/stat")
        wait_for(lambda: status.read_text(encoding="ascii").rsplit(")", 1)[1].split()[0], lambda state: state == "T")
        assert story.place.acknowledged() == before, "it was told that records may be forgotten that are not committed"
        query.kill()
        story.start()
        if story.place.is_pushed:
            fed.join()
        query.until(lambda rows: len(rows) >= story.sequences.total())
        if before is not None:
            wait_for(story.place.acknowledged, bool, query.says)
        story.all_came()


def test_memory_stays_bounded_while_the_sink_stands_still(subject, tmp_path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        sink = f"connector = 'http', url = 'http://127.0.0.1:{deaf.getsockname()[1]}/', timeout = '5 minutes'"
        story = Story(subject, tmp_path, head="SET epoch_bytes_max = '1MiB';")
        story.query = story.reading(sink=sink, select=f"{story.place.select}, pad", **story.place.frugal)
        with story.query as query:
            story.start()
            story.feed(1)
            deaf.settimeout(WAIT_SECONDS)
            # the first epoch has come to the sink, which takes it and never answers
            held, _ = deaf.accept()
            before = query.memory()
            for _ in range(BULK_BYTES // PORTION_BYTES):
                pad = "x" * (PORTION_BYTES // (2 * LANES))
                texts = [story.sequences.next(lane) for _ in range(2) for lane in range(LANES)]
                story.place.feed([json.dumps(json.loads(text) | {"pad": pad}) for text in texts])
            time.sleep(SETTLE_SECONDS)
            assert query.process.poll() is None, query.says()
            assert query.rows() == [], "nothing is committed"
            grown = query.memory() - before
            held.close()
    assert grown < BULK_BYTES / 2, f"{BULK_BYTES >> 20} MiB came, and {grown >> 20} MiB are held"


@dataclass
class Lived:
    """What is left of a life with a record in its midst that cannot be decoded."""

    story: Story
    spoilt: tuple[bytes, str] | None
    metrics: str
    letters: list[dict] = field(default_factory=list)


@pytest.fixture(scope="module")
def lived(subject, tmp_path_factory) -> Lived:
    """That life."""
    story = Story(subject, tmp_path_factory.mktemp("lived"), head="SET on_error = 'dead_letter';")
    port = free_port()
    with story.query as query:
        story.start("--listen", f"127.0.0.1:{port}")
        story.feed(3)
        spoilt = story.place.spoil()
        story.feed(3)
        query.until(lambda rows: len(rows) >= story.sequences.total())

        def asked() -> str:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
                return answer.read().decode()

        # an epoch is counted a moment after its rows are there
        is_counted = f'source="events"}} {story.sequences.total()}\n'
        metrics = wait_for(asked, lambda text: is_counted in text, query.says)
        assert query.stop() == 0, query.says()
    letters = [row for table in published(story.folder / "ckpt" / "dead_letters") for row in table.to_pylist()]
    return Lived(story, spoilt, metrics, letters)


def test_a_bad_record_is_set_aside_with_its_bytes_and_place(lived) -> None:
    assert lived.story.wrong() == [], "its neighbours are unharmed"
    if lived.spoilt is None:
        assert "format" not in lived.story.place.options, "rows are typed before they come"
        assert lived.letters == []
        return
    payload, place = lived.spoilt
    (letter,) = lived.letters
    assert (letter["value"], letter["stage"]) == (payload, "decode")
    told = " ".join(str(letter[name]) for name in ("topic", "partition", "offset", "place") if name in letter)
    assert place in told, letter


def test_what_comes_is_counted(lived) -> None:
    def total(name: str, label: str = "") -> float:
        found = re.findall(rf"^{name}\{{[^}}]*{label}[^}}]*\}} ([0-9.]+)$", lived.metrics, re.MULTILINE)
        assert found, f"{name} is missing:\n{lived.metrics}"
        return sum(map(float, found))

    rows = lived.story.sequences.total()
    assert total("tidemill_source_records_total") == rows
    assert total("tidemill_source_bytes_total") > rows
    assert total("tidemill_source_lag_known") in (0, 1)
    if lived.spoilt is not None:
        assert total("tidemill_sink_rows_total", 'outcome="deadletter"') == 1


def test_secrets_are_told_nowhere(lived) -> None:
    story = lived.story
    secret = [one["name"] for one in described(story.place.options["connector"])["options"] if one["type"] == "secret"]
    given = [name for name in secret if name in story.place.options]
    assert bool(given) == bool(story.place.secrets), f"{secret}: none of them is given"
    for text in story.place.secrets:
        assert text not in lived.metrics
        assert story.query.holds_text(text) == []
