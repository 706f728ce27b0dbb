"""The source under kills; kafka_kills.py is the long form."""

from kafka_kills import PARTITIONS, Feeding, killed
from reading import Reading


def test_a_query_that_is_killed_ten_times_loses_and_doubles_nothing(broker, topic, tmp_path) -> None:
    name = topic(partitions=PARTITIONS)
    options = {"bootstrap_servers": broker.node.address, "topic": name, "startingOffsets": "earliest"}
    reading = Reading(tmp_path / "killed", options)
    killed(reading, Feeding(broker.node.address, name), kills=10, seed=6)
