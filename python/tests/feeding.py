"""A stream that a test feeds file by file, and what each epoch gives."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tidemill.session import Session

SCHEMA = "k STRING, v INT, ts TIMESTAMP"


def at(second: str) -> str:
    """An instant of the first minute of 2026."""
    return f"2026-01-01T00:00:{second}Z"


def ms(second: int) -> int:
    """The same in milliseconds."""
    return 1_767_225_600_000 + second * 1000


class Feed:
    """Files of one directory as a stream. Each file is one epoch."""

    def __init__(self, spark: Session, directory: Path, watermark: str | None = None) -> None:
        self._spark = spark
        self._directory = directory
        self._watermark = watermark
        self._files = 0
        (directory / "in").mkdir(parents=True)
        self.epochs: dict[int, list[tuple[Any, ...]]] = {}

    def frame(self) -> Any:
        """The stream."""
        reader = self._spark.readStream.schema(SCHEMA).option("maxFilesPerTrigger", 1)
        frame = reader.json(str(self._directory / "in"))
        return frame.withWatermark("ts", self._watermark) if self._watermark else frame

    def start(self, build: Callable[[Any], Any], mode: str = "append") -> Any:
        """Starts the query, or starts it again from its checkpoint; rows of an epoch are in `epochs`."""
        writer = build(self.frame()).writeStream.outputMode(mode)
        writer = writer.option("checkpointLocation", str(self._directory / "checkpoint"))
        return writer.foreachBatch(self._take).start()

    def _take(self, batch: Any, number: int) -> None:
        self.epochs[number] = sorted((tuple(row) for row in batch.collect()), key=str)

    def put(self, *rows: tuple[str | None, int, str]) -> None:
        """Adds a file with rows: key, value, second."""
        lines = [json.dumps({"k": k, "v": v, "ts": at(second)}) for k, v, second in rows]
        hidden = self._directory / "in" / f".{self._files}"
        hidden.write_text("\n".join(lines))
        hidden.rename(self._directory / "in" / f"{self._files}.json")
        self._files += 1

    def run(self, build: Callable[[Any], Any], epochs: list[list[tuple[Any, ...]]], mode: str = "append") -> Any:
        """Runs a query over all files; gives its last progress."""
        query = self.start(build, mode)
        for rows in epochs:
            self.put(*rows)
            query.processAllAvailable()
        progress = query.lastProgress
        query.stop()
        return progress
