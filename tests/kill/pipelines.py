"""The pipelines that are killed, by name, and the services they need."""

import contextlib
from pathlib import Path

NAMES = ("files-delta", "log-files", "files-redis", "files-postgres", "kafka-kafka")


def opened(name: str, folder: Path, seed: int, cleanup: contextlib.ExitStack):
    """The pipeline in a folder, with a fresh service of its own if it needs one; `cleanup` ends it."""
    if name == "files-delta":
        from files_delta import FilesDelta

        return FilesDelta(folder, seed)
    if name == "log-files":
        from log_files import LogFiles

        return LogFiles(folder, seed)
    from harness import stop

    if name == "files-redis":
        from files_redis import FilesRedis, Node

        node = Node(folder / "redis", "--appendonly", "yes", "--appendfsync", "always", "--save", "")
        cleanup.callback(lambda: stop(node.process))
        return FilesRedis(folder, seed, node)
    if name == "files-postgres":
        from files_postgres import FilesPostgres, Server

        server = Server(folder / "postgres")
        cleanup.callback(lambda: stop(server.process))
        return FilesPostgres(folder, seed, server)
    import services
    from kafka_kafka import KafkaKafka

    # topics and groups of an old broker are its own
    broker = cleanup.enter_context(services.running(["kafka"]))
    return KafkaKafka(folder, seed, broker["KAFKA_BOOTSTRAP"])
