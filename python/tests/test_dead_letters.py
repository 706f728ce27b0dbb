"""Records on which a Python function or an expression fails are set aside with their bytes, and the others go on."""

from __future__ import annotations

import pytest
from tidemill import functions as F
from tidemill.errors import TidemillException

LETTERS = "id STRING, offset BIGINT, stage STRING, code STRING, reason STRING, value BINARY, payload STRING"
BAD = {3, 40, 41, 97}


@F.udf("INT")
def picky(number):
    """Refuses some numbers."""
    if number in BAD:
        raise ValueError(f"{number} is refused")
    return number * 2


@pytest.fixture
def source(tmp_path):
    """A hundred records in two files."""
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(2):
        lines = [f'{{"n": {n}}}\n' for n in range(number * 50, number * 50 + 50)]
        (folder / f"{number}.json").write_text("".join(lines), encoding="utf-8")
    return folder


def started(spark, source, tmp_path, column):
    """A query that has done what is there; its results."""
    written = []
    frame = spark.readStream.schema("n INT").json(str(source)).select("n", column.alias("twice"))
    query = frame.writeStream.option("checkpointLocation", str(tmp_path / "ck")).trigger(availableNow=True)
    query = query.foreachBatch(lambda batch, batch_id: written.extend(row.twice for row in batch.collect())).start()
    query.awaitTermination(60)
    return query, written


@pytest.fixture
def setting_aside(spark):
    """A session that sets failing records aside."""
    spark.conf.set("on_error", "dead_letter")
    yield spark
    spark.conf.unset("on_error")


def test_records_a_function_raises_on_are_set_aside(setting_aside, source, tmp_path):
    query, written = started(setting_aside, source, tmp_path, picky(F.col("n")))
    assert sorted(written) == [n * 2 for n in range(100) if n not in BAD]
    assert query.lastProgress.deadLetters == len(BAD)
    letters = setting_aside.read.parquet(str(tmp_path / "ck" / "dead_letters"), LETTERS).collect()
    assert {bytes(letter.value).decode() for letter in letters} == {f'{{"n": {n}}}' for n in BAD}
    assert {letter.stage for letter in letters} == {"udf"}
    assert {letter.payload for letter in letters} == {"original"}
    assert all("is refused" in letter.reason and letter.code == "PYTHON_EXCEPTION" for letter in letters)
    assert len({letter.id for letter in letters}) == len(BAD)


def test_the_query_fails_unless_asked(spark, source, tmp_path):
    with pytest.raises(TidemillException, match="is refused"):
        started(spark, source, tmp_path, picky(F.col("n")))
