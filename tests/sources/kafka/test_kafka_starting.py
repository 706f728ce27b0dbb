"""Where a query begins, which partitions it reads, what its columns hold, and how it shows its progress."""

import json
import time

from pyarrow import parquet
from reading import Reading, until

# not long ago: retention takes what is old
START = int(time.time()) * 1000 - 600_000


def options(broker, topic: str | None = None, **more: object) -> dict[str, object]:
    """Of a table that reads a topic from its beginning."""
    named = {"topic": topic} if topic else {}
    return {"bootstrap_servers": broker.node.address, **named, **({"startingOffsets": "earliest"} | more)}


def test_records_of_kafkas_console_producer_have_sparks_columns(broker, topic, tools, tmp_path) -> None:
    name = topic(partitions=3)
    tools.produce(name, [f"k{at}:v{at}" for at in range(30)])
    reading = Reading(tmp_path / "columns", options(broker, name))
    reading.run()
    rows = reading.rows()
    assert sorted(row["value"] for row in rows) == sorted(f"v{at}" for at in range(30))
    assert all(row["key"] == row["value"].replace("v", "k") and row["topic"] == name for row in rows)
    for partition in {row["partition"] for row in rows}:
        offsets = [row["offset"] for row in rows if row["partition"] == partition]
        assert offsets == list(range(len(offsets)))
    assert {row["timestampType"] for row in rows} == {0}, "when they were made"


def test_headers_are_a_column(broker, topic, producer, tmp_path) -> None:
    name = topic()
    producer.send(name, 1, ["with"], headers=[("trace", b"t1"), ("trace", b"t2"), ("none", None)])
    producer.send(name, 1, ["without"])
    reading = Reading(
        tmp_path / "headers",
        options(broker, name, includeHeaders="true"),
        "CAST(value AS STRING) AS value, size(headers) AS count, headers[1].key AS key, "
        "CAST(headers[1].value AS STRING) AS header, headers[2].value IS NULL AS empty",
    )
    reading.run()
    first, second = reading.rows()
    assert first == {"value": "with", "count": 3, "key": "trace", "header": "t2", "empty": True}
    assert second["value"] == "without" and second.get("key") is None


def test_times_choose_where_a_new_query_begins(broker, topic, producer, tmp_path) -> None:
    name = topic()
    for partition in range(2):
        for at in range(10):
            producer.send(name, partition, [f"{partition}/{at}"], timestamp=START + 1000 * (at + 10 * partition))

    def values(folder: str, **given: object) -> list[str]:
        reading = Reading(tmp_path / folder, options(broker, name, startingOffsets="latest", **given))
        reading.run()
        # a second run goes on where the first ended, whatever the options say
        reading.run()
        return sorted(reading.values())

    assert values("all", startingTimestamp=START + 7500) == [
        *(f"0/{at}" for at in (8, 9)),
        *(f"1/{at}" for at in range(10)),
    ]
    each = json.dumps({name: {"0": START, "1": START + 18_000}})
    by_partition = values("each", startingOffsetsByTimestamp=each)
    assert by_partition == [*(f"0/{at}" for at in range(10)), "1/8", "1/9"]
    late = {"startingTimestamp": START + 15_000}
    refused = Reading(tmp_path / "refused", options(broker, name, **late)).run(code=78)
    assert "partition 0 has no record of the time" in refused
    assert "startingOffsetsByTimestampStrategy" in refused or "starting_offsets_by_timestamp_strategy" in refused
    assert values("latest", startingOffsetsByTimestampStrategy="latest", **late) == [f"1/{at}" for at in range(5, 10)]


def test_assigned_partitions_and_no_others_are_read(broker, topic, producer, tmp_path) -> None:
    one, two = topic(partitions=3), topic(partitions=2, more="-too")
    for name, count in ((one, 3), (two, 2)):
        for partition in range(count):
            producer.send(name, partition, [f"{name[-3:]}/{partition}"])
    assign = json.dumps({one: [0, 2], two: [1]})
    reading = Reading(tmp_path / "assign", options(broker, assign=assign))
    reading.run()
    assert sorted(reading.values()) == sorted([f"{one[-3:]}/0", f"{one[-3:]}/2", "too/1"])
    missing = Reading(tmp_path / "missing", options(broker, assign=json.dumps({one: [3]}))).run(code=78)
    assert f"there is no partition 3 of topic '{one}'" in missing
    less = options(broker, assign=json.dumps({one: [0]}))
    reading.set(less)
    assert "no longer reads" in reading.run(code=78)


def test_a_stream_has_no_ending_offsets(broker, topic, tmp_path) -> None:
    name = topic()
    for option in ("endingOffsets", "endingTimestamp", "endingOffsetsByTimestamp"):
        told = Reading(tmp_path / option, options(broker, name, **{option: "latest"})).run(code=78)
        assert "a stream has no ending offsets" in told and "available-now" in told


def test_few_records_wait_for_more_but_not_for_ever(broker, topic, producer, tmp_path) -> None:
    name = topic(partitions=1)
    limits = {"minOffsetsPerTrigger": 50, "maxTriggerDelay": "5s", "maxOffsetsPerTrigger": 60}
    reading = Reading(tmp_path / "limits", options(broker, name, **limits))
    producer.send(name, 0, [f"first/{at}" for at in range(130)])
    process = reading.start()
    try:
        reading.wait_for(120, process)
        begun = time.monotonic()
        reading.wait_for(130, process)
        assert time.monotonic() - begun > 2.0, "ten records were not worth an epoch"
    finally:
        process.terminate()
        process.wait(30)
    assert [len(rows) for rows in reading.epochs() if rows] == [60, 60, 10]


def test_a_consumer_group_shows_what_is_committed(broker, topic, tools, producer, tmp_path) -> None:
    name = topic(partitions=2)

    def lag() -> dict[int, tuple[str, str]]:
        """Position and lag of each partition, as kafka-consumer-groups shows them."""
        shown = tools.run(
            "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
            *("--bootstrap-server", broker.node.address, "--describe", "--group", "lag-readers"),
        )
        lines = [line.split() for line in shown.splitlines() if name in line]
        return {int(line[2]): (line[3], line[5]) for line in lines}

    producer.send(name, 0, [str(at) for at in range(40)])
    producer.send(name, 1, [str(at) for at in range(25)])
    reading = Reading(tmp_path / "group", options(broker, name, group_id="lag-readers"))
    reading.run()
    assert lag() == {0: ("40", "0"), 1: ("25", "0")}
    producer.send(name, 1, ["one", "two", "three"])
    assert lag()[1] == ("25", "3")
    # while it runs, with epochs that begin by the clock
    process = reading.start("--trigger", "processing-time 50ms")
    try:
        reading.wait_for(68, process)
        until(lambda: lag() == {0: ("40", "0"), 1: ("28", "0")}, lambda: str(lag()), process)
    finally:
        process.terminate()
        process.wait(30)


def test_columns_of_a_format_come_from_the_value(broker, topic, producer, tmp_path) -> None:
    name = topic()
    producer.send(name, 0, [json.dumps({"id": at}) for at in range(5)] + ["{broken"])
    reading = Reading(tmp_path / "json", options(broker, name, format="json", columns=" (id BIGINT)"), "id")
    reading.run()
    assert [row["id"] for row in reading.rows()] == list(range(5))
    letters = list((reading.folder / "ckpt" / "dead_letters").rglob("*.parquet"))
    kept = [row for file in letters for row in parquet.read_table(file).to_pylist()]
    assert [(row["value"], row["offset"]) for row in kept] == [(b"{broken", 5)]
