"""What the tests share: a session for each, and rows in the embedded log."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tidemill.session import Session


@pytest.fixture
def spark() -> Iterator[Session]:
    """A session; its queries are stopped after the test."""
    with Session() as session:
        yield session


@pytest.fixture
def produce(spark: Session, tmp_path: Path) -> Callable[..., int]:
    """Puts user events into the embedded log under ``tmp_path/log``: further ones each time it is called."""

    def events(rows: int, topic: str = "user-events", start: str = "2026-01-01T00:00:00Z", seed: int = 1) -> int:
        generator = spark.readStream.format("generator").option("number_of_rows", rows).option("seed", seed)
        frame = generator.option("rows_per_second", 0).option("start_timestamp", start).load()
        log = frame.writeStream.format("log").option("topic", topic).option("path", tmp_path / "log")
        checkpoint = tmp_path / "produced" / f"{topic}-{seed}"
        query = log.option("checkpointLocation", checkpoint).trigger(availableNow=True).start()
        assert query.awaitTermination(60)
        return query.lastProgress.numInputRows

    return events
