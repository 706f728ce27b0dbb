"""Running queries, under PySpark's names: `StreamingQuery`, its progress, its listeners, and the manager of a session's
queries."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Iterator
from typing import Any

from tidemill.errors import AnalysisException, StreamingQueryException, from_engine, translated

POLL_SECONDS = 0.05
"""How often waits for any of several queries, and listeners, look."""
ENDED_MAX = 100
"""Queries that have ended and are still remembered."""


class StreamingQueryProgress(dict):
    """What an epoch has done: a dict with the names of Spark's progress (``numInputRows``, ``stateOperators``), whose
    values are attributes as well. More than Spark has: ``sinks``, ``deadLetters``, and ``latencyMs``, the time from
    a record's entry into its source to its commit in milliseconds (p50, p95, p99, max)."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    @property
    def json(self) -> str:
        """As compact JSON."""
        return json.dumps(self)

    @property
    def prettyJson(self) -> str:
        """As indented JSON."""
        return json.dumps(self, indent=2)


def _progress(text: str) -> StreamingQueryProgress:
    return json.loads(text, object_hook=StreamingQueryProgress)


class StreamingQuery:
    """A query that has been started."""

    def __init__(self, inner: Any, name: str | None, called: Any = None, temporary: str | None = None) -> None:
        self._inner = inner
        self._name = name
        self._called = called
        self._temporary = temporary

    @property
    def id(self) -> str:
        """Identity of the query; stays over restarts from its checkpoint."""
        return self._inner.id

    @property
    def runId(self) -> str:
        """Identity of this run."""
        return self._inner.run_id

    run_id = runId

    @property
    def name(self) -> str | None:
        """The name it was given, or None."""
        return self._name

    @property
    def isActive(self) -> bool:
        """True while it runs."""
        return self._inner.is_active

    is_active = isActive

    @property
    def status(self) -> dict[str, Any]:
        """What it is doing: ``message``, ``isDataAvailable``, ``isTriggerActive``."""
        if not self.isActive:
            return {"message": "Stopped", "isDataAvailable": False, "isTriggerActive": False}
        last = self.lastProgress
        if last is None:
            return {"message": "Waiting for data to arrive", "isDataAvailable": False, "isTriggerActive": False}
        behind = sum(source["metrics"].get("lag", 0) for source in last["sources"])
        message = "Processing new data" if behind else "Waiting for data to arrive"
        return {"message": message, "isDataAvailable": behind > 0, "isTriggerActive": behind > 0}

    @property
    def lastProgress(self) -> StreamingQueryProgress | None:
        """What the newest epoch has done; None before the first."""
        text = self._inner.last_progress()
        return _progress(text) if text is not None else None

    last_progress = lastProgress

    @property
    def recentProgress(self) -> list[StreamingQueryProgress]:
        """What the newest epochs have done, oldest first, at most 100."""
        return [_progress(text) for text in self._inner.recent_progress()]

    recent_progress = recentProgress

    def awaitTermination(self, timeout: float | None = None) -> bool | None:
        """Waits until the query ends; Ctrl-C interrupts.

        Args:
            timeout: at most so many seconds.

        Returns:
            With a timeout, whether it has ended.

        Raises:
            StreamingQueryException: it failed; the exception of a foreachBatch function is its cause.
        """
        ended = self._inner.wait_ended(timeout)
        if ended:
            self._raise_failure()
            self._clean()
        return ended if timeout is not None else None

    await_termination = awaitTermination

    def processAllAvailable(self) -> None:
        """Waits until everything that is in the sources now is processed and committed. For tests.

        Raises:
            StreamingQueryException: it failed.
        """
        self._inner.process_all_available()
        self._raise_failure()

    process_all_available = processAllAvailable

    def stop(self) -> None:
        """Stops the query after the epoch it is in, and waits for that. In its own foreachBatch function: only asks."""
        self._inner.stop()
        if self._called is None or self._called.thread != threading.get_ident():
            self._inner.wait_ended(None)
            self._clean()

    def rescale(self, parallelism: int) -> None:
        """Gives the running query another parallelism after the batch it is in, and waits for that. Its state goes to
        other partitions; the rows that come out are the same. The next start has the setting's parallelism again.

        Args:
            parallelism: state partitions and worker threads, 1 to 256.

        Raises:
            TidemillException: another number, or the query has ended.
        """
        with translated():
            self._inner.rescale(parallelism)

    def exception(self) -> StreamingQueryException | None:
        """Why it failed; None when it has not."""
        error = self._inner.exception()
        if error is None:
            return None
        failure = from_engine(error, running=True)
        failure.__cause__ = error.__cause__
        return failure  # type: ignore[return-value]

    def explain(self, extended: bool = False) -> None:
        """Prints the plan as data flows, and the guarantee end to end."""
        print(self._inner.explained)

    def _clean(self) -> None:
        """Removes a temporary checkpoint, unless the query has failed: what is in it may tell why."""
        if self._temporary is not None and self._inner.exception() is None:
            shutil.rmtree(self._temporary, ignore_errors=True)
            self._temporary = None

    def _raise_failure(self) -> None:
        failure = self.exception()
        if failure is not None:
            raise failure

    def __repr__(self) -> str:
        state = "active" if self.isActive else "failed" if self._inner.exception() is not None else "ended"
        return f"<StreamingQuery {self._name or self._inner.name} ({state})>"


class StreamingQueryListener:
    """Hears of queries: subclass it, and give it to ``session.streams.addListener``. Called from a thread of its own,
    which looks every 50 milliseconds; of many short epochs it may hear only the newest ones."""

    class QueryStartedEvent:
        """A query has started."""

        def __init__(self, query: StreamingQuery) -> None:
            self.id, self.runId, self.name = query.id, query.runId, query.name

    class QueryProgressEvent:
        """A query has done an epoch."""

        def __init__(self, progress: StreamingQueryProgress) -> None:
            self.progress = progress

    class QueryTerminatedEvent:
        """A query has ended."""

        def __init__(self, query: StreamingQuery) -> None:
            failure = query.exception()
            self.id, self.runId = query.id, query.runId
            self.exception = str(failure) if failure else None
            self.errorClassOnException = failure.getCondition() if failure else None

    def onQueryStarted(self, event: QueryStartedEvent) -> None:
        """A query has started."""

    def onQueryProgress(self, event: QueryProgressEvent) -> None:
        """A query has done an epoch."""

    def onQueryIdle(self, event: Any) -> None:
        """Not called: a query that waits says so in its status."""

    def onQueryTerminated(self, event: QueryTerminatedEvent) -> None:
        """A query has ended."""


class StreamingQueryManager:
    """The queries of a session."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queries: list[StreamingQuery] = []
        self._ended_before: set[str] = set()
        self._listeners: list[StreamingQueryListener] = []
        self._watched: set[str] = set()

    @property
    def active(self) -> list[StreamingQuery]:
        """The queries that run."""
        with self._lock:
            return [query for query in self._queries if query.isActive]

    def get(self, id: str) -> StreamingQuery | None:  # noqa: A002 - PySpark's name
        """The active query with this id."""
        return next((query for query in self.active if query.id == id), None)

    def awaitAnyTermination(self, timeout: float | None = None) -> bool | None:
        """Waits until any query has ended since the session began, or since `resetTerminated`.

        Args:
            timeout: at most so many seconds.

        Returns:
            With a timeout, whether one has ended.

        Raises:
            StreamingQueryException: it failed.
        """
        until = None if timeout is None else time.monotonic() + timeout
        while True:
            ended = next(self._newly_ended(), None)
            if ended is not None:
                ended._raise_failure()
                return True if timeout is not None else None
            left = POLL_SECONDS if until is None else min(POLL_SECONDS, until - time.monotonic())
            if left <= 0:
                return False
            time.sleep(left)

    def resetTerminated(self) -> None:
        """Forgets the queries that have ended, so that `awaitAnyTermination` waits for others."""
        self._ended_before.update(query.runId for query in self._newly_ended())

    def addListener(self, listener: StreamingQueryListener) -> None:
        """A listener hears of all queries from now on."""
        with self._lock:
            self._listeners.append(listener)
            queries = [query for query in self._queries if query.isActive]
        for query in queries:
            self._watch(query)

    def removeListener(self, listener: StreamingQueryListener) -> None:
        """It hears no more."""
        with self._lock:
            if listener in self._listeners:
                self._listeners.remove(listener)

    def _stop_all(self, seconds: float) -> None:
        """Stops every query; waits for each at most so long."""
        with self._lock:
            queries = list(self._queries)
        for query in queries:
            query._inner.stop()
            if query._inner.wait_ended(seconds):
                query._clean()

    def _newly_ended(self) -> Iterator[StreamingQuery]:
        with self._lock:
            queries = list(self._queries)
        return (query for query in queries if not query.isActive and query.runId not in self._ended_before)

    def _refuse_twice(self, name: str) -> None:
        if any(query.name == name for query in self.active):
            raise AnalysisException(
                f"a query called `{name}` is running\n  = help: stop it first, or choose another queryName",
                "STREAMING_QUERY_NAME_IN_USE",
            )

    def _add(self, query: StreamingQuery) -> StreamingQuery:
        with self._lock:
            ended = [known for known in self._queries if not known.isActive]
            for known in ended[: max(0, len(ended) - ENDED_MAX)]:
                known._clean()
                self._queries.remove(known)
            self._queries.append(query)
            listens = bool(self._listeners)
        if listens:
            self._watch(query)
        return query

    def _watch(self, query: StreamingQuery) -> None:
        with self._lock:
            if query.runId in self._watched:
                return
            self._watched.add(query.runId)
        name = f"tidemill-listeners-{query.name or query.id}"
        threading.Thread(target=self._tell, args=(query,), name=name, daemon=True).start()

    def _tell(self, query: StreamingQuery) -> None:
        self._say("onQueryStarted", StreamingQueryListener.QueryStartedEvent(query))
        newest = -1
        while True:
            ended = query._inner.wait_ended(POLL_SECONDS)
            for progress in query.recentProgress:
                if progress["batchId"] > newest:
                    newest = progress["batchId"]
                    self._say("onQueryProgress", StreamingQueryListener.QueryProgressEvent(progress))
            if ended:
                self._say("onQueryTerminated", StreamingQueryListener.QueryTerminatedEvent(query))
                return

    def _say(self, what: str, event: Any) -> None:
        with self._lock:
            listeners = list(self._listeners)
        for listener in listeners:
            getattr(listener, what)(event)
