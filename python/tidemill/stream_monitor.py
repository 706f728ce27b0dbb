"""`StreamMonitor`: what a running query is doing now, from the reports of its epochs. Nothing here waits.

>>> monitor = StreamMonitor(query)  # doctest: +SKIP
>>> monitor.track_metrics(["lag", "throughput", "latency"])  # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tidemill.errors import IllegalArgumentException

if TYPE_CHECKING:
    from tidemill.query import StreamingQuery

Progress = Mapping[str, Any]
"""A report as `StreamingQuery.lastProgress` gives it."""


def lag_records(progress: Progress | None) -> int | None:
    """Records that are in the sources and not yet read; None when no source knows."""
    if progress is None:
        return None
    known = [source["metrics"]["lag"] for source in progress["sources"] if "lag" in source["metrics"]]
    return sum(known) if known else None


def lag_seconds(progress: Progress | None) -> float | None:
    """The time the records not yet read will take, at the rate of the report's epoch; None when it is not known."""
    records = lag_records(progress)
    if progress is None or records is None:
        return None
    if records == 0:
        return 0.0
    rate = progress["processedRowsPerSecond"]
    return records / rate if rate > 0 else None


def records_per_second(reports: Sequence[Progress]) -> float | None:
    """Records read a second, over the time the reports span; that of the epoch itself when there is one alone."""
    return _per_second(reports, lambda report: report["numInputRows"])


def megabytes_per_second(reports: Sequence[Progress]) -> float | None:
    """Megabytes (10^6 bytes) read a second, over the time the reports span."""
    rate = _per_second(reports, lambda report: sum(source["metrics"].get("bytes", 0) for source in report["sources"]))
    return rate / 1e6 if rate is not None else None


def _per_second(reports: Sequence[Progress], amount: Callable[[Progress], float]) -> float | None:
    if not reports:
        return None
    first, last = _instant(reports[0]), _instant(reports[-1])
    seconds = last - first + reports[-1]["batchDuration"] / 1000
    return sum(map(amount, reports)) / max(seconds, 1e-3)


def _instant(report: Progress) -> float:
    import datetime

    return datetime.datetime.fromisoformat(report["timestamp"].replace("Z", "+00:00")).timestamp()


def _latency(reports: Sequence[Progress]) -> dict[str, float] | None:
    """Of the newest epoch whose records' entry times are known."""
    return next((dict(report["latencyMs"]) for report in reversed(reports) if report.get("latencyMs")), None)


def _watermark(reports: Sequence[Progress]) -> str | None:
    return reports[-1]["eventTime"].get("watermark") if reports else None


def _state(reports: Sequence[Progress]) -> dict[str, int] | None:
    if not reports:
        return None
    operators = reports[-1]["stateOperators"]
    return {
        "rows": sum(operator["numRowsTotal"] for operator in operators),
        "memory_bytes": sum(operator["memoryUsedBytes"] for operator in operators),
        "late_rows_dropped": sum(
            operator["numRowsDroppedByWatermark"] for report in reports for operator in report["stateOperators"]
        ),
    }


def _lag(reports: Sequence[Progress]) -> dict[str, float | None] | None:
    last = reports[-1] if reports else None
    records = lag_records(last)
    return None if records is None else {"records": records, "seconds": lag_seconds(last)}


def _throughput(reports: Sequence[Progress]) -> dict[str, float | None] | None:
    if not reports:
        return None
    rows, megabytes = records_per_second(reports), megabytes_per_second(reports)
    return {"records_per_second": rows, "megabytes_per_second": megabytes}


def _dead_letters(reports: Sequence[Progress]) -> int | None:
    return sum(report["deadLetters"] for report in reports) if reports else None


METRICS: dict[str, tuple[Callable[[Sequence[Progress]], Any], str]] = {
    "lag": (_lag, "records not yet read, and the seconds they will take; of the newest epoch"),
    "throughput": (_throughput, "records and megabytes (10^6 bytes) read a second, over the newest 100 epochs"),
    "latency": (_latency, "milliseconds from a record's entry into its source to its commit: p50, p95, p99, max"),
    "watermark": (_watermark, "the watermark the newest epoch used, ISO 8601 in UTC"),
    "state": (_state, "state rows and bytes now; rows dropped as late in the newest 100 epochs"),
    "dead_letters": (_dead_letters, "bad records in the newest 100 epochs"),
}
"""Every metric: how it is found in reports, and what it is."""


class StreamMonitor:
    """Watches a query.

    Args:
        query: a query that was started.
    """

    def __init__(self, query: StreamingQuery) -> None:
        self.query = query
        self._tracked: list[str] = list(METRICS)

    def track_metrics(self, metrics: Iterable[str] | None = None) -> dict[str, Any]:
        """Chooses the metrics that `snapshot` and `report` give, and gives their values now.

        Args:
            metrics: of ``lag``, ``throughput``, ``latency``, ``watermark``, ``state``, ``dead_letters``; None for all.

        Raises:
            IllegalArgumentException: a metric that is not there.
        """
        wanted = list(METRICS) if metrics is None else [metrics] if isinstance(metrics, str) else list(metrics)
        unknown = [name for name in wanted if name not in METRICS]
        if unknown:
            raise IllegalArgumentException(
                f"there is no metric `{unknown[0]}`\n  = help: metrics: {', '.join(METRICS)}"
            )
        self._tracked = wanted
        return self.snapshot()

    def snapshot(self) -> dict[str, Any]:
        """The tracked metrics now, by name. A value that is not known is None, never 0."""
        reports = self.query.recentProgress
        return {name: METRICS[name][0](reports) for name in self._tracked}

    def report(self) -> str:
        """The tracked metrics now, as text for people."""
        last = self.query.lastProgress
        state = "running" if self.query.isActive else "failed" if self.query.exception() else "ended"
        epoch = "no epoch yet" if last is None else f"epoch {last['batchId']}"
        lines = [f"query {self.query.name or self.query._inner.name}: {state}, {epoch}"]
        for name, value in self.snapshot().items():
            lines.append(f"  {name:<12} {_shown(value)}")
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"<StreamMonitor of {self.query!r}>"


def _shown(value: Any) -> str:
    match value:
        case None:
            return "unknown"
        case dict():
            return ", ".join(f"{key} {_shown(item)}" for key, item in value.items())
        case float():
            return f"{value:,.3f}".rstrip("0").rstrip(".")
        case int():
            return f"{value:,}"
    return str(value)
