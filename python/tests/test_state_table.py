"""The state of a query from outside: as a table; limits of it; another parallelism while the query runs."""

from __future__ import annotations

import pytest
import tidemill
from feeding import Feed
from test_state_restart import EPOCHS, everything
from tidemill.errors import AnalysisException, StreamingQueryException, TidemillException
from tidemill.session import Session

BACKENDS = ("memory", "rocksdb")


@pytest.mark.parametrize("backend", BACKENDS)
def test_state_is_a_table_in_arrow_and_in_frames(tmp_path, backend):
    with Session(settings={"state_backend": backend}) as spark:
        feed = Feed(spark, tmp_path / "feed", "1 second")
        feed.run(everything, EPOCHS)
        checkpoint = tmp_path / "feed" / "checkpoint"
        rows = tidemill.read_state(checkpoint, where="variable = 'value'").to_pylist()
        wanted: dict[str, int] = {}
        for key, number, _ in (row for epoch in EPOCHS for row in epoch):
            wanted[key] = wanted.get(key, 0) + number
        assert {row["k"]: row["value"]["n"] for row in rows} == wanted
        frame = spark.read.format("statestore").option("operatorId", 0).load(str(checkpoint))
        assert frame.filter("variable = 'value'").count() == len(rows)
        with pytest.raises(AnalysisException, match="there is no operator"):
            tidemill.read_state(checkpoint, "none")
        with pytest.raises(AnalysisException, match="has no snapshot of epoch 999"):
            tidemill.read_state(checkpoint, batchId=999)
        with pytest.raises(AnalysisException, match="there is no checkpoint"):
            tidemill.read_state(tmp_path / "nothing")


@pytest.mark.parametrize("backend", BACKENDS)
def test_another_parallelism_while_it_runs_changes_nothing(tmp_path, backend):
    def outcome(name, parallelisms):
        with Session(settings={"state_backend": backend, "parallelism": "2"}) as spark:
            feed = Feed(spark, tmp_path / name, "1 second")
            query = feed.start(everything)
            for number, rows in enumerate(EPOCHS):
                feed.put(*rows)
                query.processAllAvailable()
                if parallelisms:
                    query.rescale(parallelisms[number % len(parallelisms)])
            with pytest.raises(TidemillException, match="cannot have the parallelism 257"):
                query.rescale(257)
            query.stop()
            with pytest.raises(TidemillException, match="has ended"):
                query.rescale(2)
            return feed.epochs

    assert outcome("rescaled", [1, 4, 3, 256]) == outcome("straight", [])


@pytest.mark.parametrize("backend", BACKENDS)
def test_more_state_than_its_limit_stops_the_query_before_anything_is_written(tmp_path, backend):
    with Session(settings={"state_backend": backend, "state_limit_rows": "3"}) as spark:
        feed = Feed(spark, tmp_path / "feed")
        query = feed.start(lambda frame: frame.groupBy("k").count(), "update")
        feed.put(("a", 1, "01"), ("b", 1, "01"), ("c", 1, "01"))
        query.processAllAvailable()
        feed.put(("d", 1, "02"))
        with pytest.raises(StreamingQueryException, match=r"keeps 4 rows of state, and state_limit_rows is 3"):
            query.processAllAvailable()
        assert len(feed.epochs) == 1
    with Session(settings={"state_backend": backend, "state_limit_rows": "4"}) as spark:
        feed._spark = spark
        query = feed.start(lambda frame: frame.groupBy("k").count(), "update")
        query.processAllAvailable()
        query.stop()
        assert len(tidemill.read_state(tmp_path / "feed" / "checkpoint")) == 4
