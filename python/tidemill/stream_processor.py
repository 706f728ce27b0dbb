"""`StreamProcessor`: one way to read streams from Kafka, Event Hubs, the embedded log, files and the generator.

>>> processor = StreamProcessor(
...     source="log", connection_string="data/log", checkpoint_location="data/checkpoints"
... )  # doctest: +SKIP
>>> events = processor.read_stream("user-events", "user_id STRING, timestamp TIMESTAMP")  # doctest: +SKIP
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tidemill.errors import AnalysisException, IllegalArgumentException
from tidemill.session import Session

if TYPE_CHECKING:
    from tidemill.dataframe import DataFrame
    from tidemill.query import StreamingQuery

EVENT_HUBS_PORT = 9093
"""Port of the Kafka endpoint of an Event Hubs namespace. Source: Azure, "Azure Event Hubs for Apache Kafka"."""
EMULATOR_PORT = 9092
"""Port of the Kafka endpoint of the Event Hubs emulator."""


def kafka_options_of_event_hubs(connection_string: str) -> dict[str, str]:
    """The options by which Kafka clients reach an Event Hubs namespace.

    Args:
        connection_string: ``Endpoint=sb://<namespace>.servicebus.windows.net/;SharedAccessKeyName=..;SharedAccessKey=..``.

    Raises:
        IllegalArgumentException: text that is no such string. It is not repeated, since it holds a key.

    Source: Azure, "Use Azure Event Hubs from Apache Kafka applications", connection string authentication.
    """
    parts = dict(part.strip().split("=", 1) for part in connection_string.split(";") if "=" in part)
    fields = {key.lower(): value for key, value in parts.items()}
    host = fields.get("endpoint", "").removeprefix("sb://").rstrip("/")
    if not host or "sharedaccesskey" not in fields:
        raise IllegalArgumentException(
            "this is no connection string of Event Hubs: it needs Endpoint=sb://.. and SharedAccessKey=..\n"
            "  = help: the Azure portal shows it under the namespace's shared access policies"
        )
    is_emulator = fields.get("usedevelopmentemulator", "").lower() == "true"
    host = host.partition(":")[0]
    return {
        "kafka.bootstrap.servers": f"{host}:{EMULATOR_PORT if is_emulator else EVENT_HUBS_PORT}",
        "kafka.security.protocol": "SASL_PLAINTEXT" if is_emulator else "SASL_SSL",
        "kafka.sasl.mechanism": "PLAIN",
        "kafka.sasl.username": "$ConnectionString",
        "kafka.sasl.password": connection_string,
    }


class StreamProcessor:
    """Reads streams of one place, and knows the queries that were started on them.

    Args:
        source: ``kafka``, ``azure_event_hub`` (or ``event_hub``, ``event_hubs``), ``log`` (the embedded log),
            ``files``, ``generator``.
        connection_string: where it is: brokers as ``host:port,host:port``; the connection string of the namespace; the
            log's directory or ``file://`` URL; the directory that has a directory for each topic. None for the
            generator, and where `options` say it.
        consumer_group: a group in which Kafka dashboards see the progress. Positions are kept in the checkpoint.
        checkpoint_location: directory in which queries have their checkpoints, each under its name, unless the option
            ``checkpointLocation`` names one.
        session: where to make the frames; None for a session of its own.
        options: further options of the source, such as ``startingOffsets``.

    Raises:
        AnalysisException: a source that is not there.
    """

    def __init__(
        self,
        source: str,
        connection_string: str | os.PathLike[str] | None = None,
        consumer_group: str | None = None,
        checkpoint_location: str | os.PathLike[str] | None = None,
        *,
        session: Session | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        preset = _SOURCES.get(source.lower().replace("-", "_"))
        if preset is None:
            raise _unknown(source)
        self.source = source
        self.consumer_group = consumer_group
        self.session = session if session is not None else Session(consumer_group)
        where = os.fspath(connection_string) if connection_string is not None else None
        self._connector, own = preset(where, consumer_group)
        self._options = {**own, **(options or {})}
        if checkpoint_location is not None:
            self.session.conf.set("spark.sql.streaming.checkpointLocation", os.fspath(checkpoint_location))
        self._topics: list[str] = []

    def read_stream(
        self,
        topic: str,
        schema: Any = None,
        *,
        format: str | None = None,
        **options: Any,  # noqa: A002
    ) -> DataFrame:
        """The records of a topic as a frame.

        Args:
            topic: the topic; for files the directory of that name; for the generator any name.
            schema: columns of the payload as DDL or StructType, or a schema of `tidemill.stream_schemas`. Without one:
                key, value, topic, partition, offset, timestamp; the generator gives its user events.
            format: how payloads are encoded; default ``json`` when there is a schema.
            options: further options of the source.
        """
        reader = self.session.readStream.format(self._connector)
        given = {**self._options, **options}
        match self._connector:
            case "files":
                path = os.path.join(str(given.pop("path", "") or "."), topic)
                reader.options(**{**given, "format": format or "json"})
                reader.option("path", path)
            case "generator":
                reader.options(**given)
            case _:
                reader.options(**given).option("topic", topic)
                if format is not None:
                    reader.option("format", format)
        if schema is not None:
            reader.schema(schema)
        frame = reader.load()
        if self._connector == "generator":
            # a generator has no topics; the name is for the checkpoint and the progress
            from tidemill.reader import plain_name

            for definition in frame._tables.values():
                definition["name"] = plain_name(topic)
        self._topics.append(topic)
        return frame

    @property
    def queries(self) -> list[StreamingQuery]:
        """The queries that run on its streams."""
        return self.session.streams.active

    def get_consumer_lag(self) -> float | None:
        """How far its queries are behind, in seconds: records not yet read, by the rate at which they are processed;
        of several queries the largest. None while it is not known; 0.0 when nothing is left to read."""
        from tidemill.stream_monitor import lag_seconds

        known = [lag for lag in (lag_seconds(query.lastProgress) for query in self.queries) if lag is not None]
        return max(known, default=None)

    def get_throughput(self) -> float | None:
        """What its queries read, in megabytes (10^6 bytes) a second, over their newest epochs; None before the first."""
        from tidemill.stream_monitor import megabytes_per_second

        known = [megabytes_per_second(query.recentProgress) for query in self.queries]
        found = [rate for rate in known if rate is not None]
        return sum(found) if found else None

    def get_storage_usage(self) -> float | None:
        """What its topics take up on disk, in gigabytes (10^9 bytes); None for sources elsewhere."""
        place = self._options.get("path")
        if self._connector not in ("log", "files") or place is None:
            return None
        files = [file for topic in set(self._topics) for file in Path(str(place), topic).rglob("*") if file.is_file()]
        return sum(file.stat().st_size for file in files) / 1e9

    def stop(self) -> None:
        """Stops its queries."""
        for query in self.queries:
            query.stop()

    def __repr__(self) -> str:
        # the connection string may hold a key
        return f"<StreamProcessor {self.source}, {len(self.queries)} active queries>"


Options = dict[str, str]


def _kafka(where: str | None, group: str | None) -> tuple[str, Options]:
    brokers = {"kafka.bootstrap.servers": where} if where else {}
    return "kafka", {**brokers, **({"group_id": group} if group else {})}


def _event_hubs(where: str | None, group: str | None) -> tuple[str, Options]:
    if not where:
        raise IllegalArgumentException("a connection string of the Event Hubs namespace is needed")
    return "kafka", {**kafka_options_of_event_hubs(where), **({"group_id": group} if group else {})}


def _in_a_directory(connector: str) -> Callable[[str | None, str | None], tuple[str, Options]]:
    def preset(where: str | None, group: str | None) -> tuple[str, Options]:
        return connector, {"path": where.removeprefix("file://")} if where else {}

    return preset


def _generator(where: str | None, group: str | None) -> tuple[str, Options]:
    return "generator", {}


_SOURCES: dict[str, Callable[[str | None, str | None], tuple[str, Options]]] = {
    "kafka": _kafka,
    "azure_event_hub": _event_hubs,
    "azure_event_hubs": _event_hubs,
    "event_hub": _event_hubs,
    "event_hubs": _event_hubs,
    "eventhub": _event_hubs,
    "eventhubs": _event_hubs,
    "log": _in_a_directory("log"),
    "files": _in_a_directory("files"),
    "generator": _generator,
}


def _unknown(source: str) -> AnalysisException:
    known = ", ".join(["kafka", "azure_event_hub", "log", "files", "generator"])
    if source.lower() in ("kinesis", "aws_kinesis"):
        return AnalysisException(f"the source kinesis is not there yet\n  = help: sources: {known}")
    return AnalysisException(f"there is no source `{source}`\n  = help: sources: {known}", "DATA_SOURCE_NOT_FOUND")
