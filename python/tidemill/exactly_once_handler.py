"""`ExactlyOnceHandler`: makes what a foreachBatch function writes to a database of yours exactly once.

A batch may come again after a failure, under the same id with the same rows. The handler keeps the id of the newest
batch in the same transaction as the rows, so that a batch that is there already is passed over:

>>> handler = ExactlyOnceHandler(lambda: sqlite3.connect("shop.db", check_same_thread=False), "orders")  # doctest: +SKIP
>>> def write(batch, batch_id):  # doctest: +SKIP
...     with handler.transaction(batch_id) as cursor:
...         if cursor is not None:
...             cursor.executemany("INSERT INTO orders VALUES (?, ?)", batch.collect())

Any DB-API 2.0 connection will do that has transactions and `ON CONFLICT`: sqlite3, psycopg.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tidemill.errors import IllegalArgumentException, TidemillException

EPOCHS_TABLE = "tidemill_epochs"
"""Table with the newest batch of every query."""

SEEN_TABLE = "tidemill_seen"
"""Table with the keys of messages that were processed."""

NAMES_SHOWN_MAX = 20
"""Keys of each kind that a `Validation` names."""


class StoreOutOfStep(TidemillException):
    """A batch that neither follows the newest one in the store nor is that one: going on would lose or double rows."""


def message_key(*parts: str | bytes | int | float | bool | None) -> str:
    """The same key for the same parts, whenever and wherever it is computed: 64 hexadecimal digits.

    Args:
        parts: what names a message, such as topic, partition and offset. Types count: 1 and "1" are not the same.
    """
    digest = hashlib.sha256()
    for part in parts:
        data = part if isinstance(part, bytes) else repr(part).encode()
        digest.update(f"{type(part).__name__}:{len(data)}:".encode())
        digest.update(data)
    return digest.hexdigest()


class ExactlyOnceHandler:
    """Guards the writes of one query to one database.

    Args:
        connect: makes a connection; called once, at first use. sqlite3 needs ``check_same_thread=False``.
        query: name of the query, the same after every restart.
        ttl_seconds: how long `unseen` remembers a key.
        clock: seconds since 1970, for the time to live.

    A batch that repeats the newest one in the store is passed over. Any other that does not follow it raises
    `StoreOutOfStep`: the checkpoint was deleted, or one of the two was restored from a copy.
    """

    def __init__(
        self,
        connect: Callable[[], Any],
        query: str,
        *,
        ttl_seconds: float = 7 * 86400.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if not query:
            raise IllegalArgumentException("a query needs a name: its batches are counted under it")
        self.query = query
        self._connect, self._ttl_seconds, self._clock = connect, ttl_seconds, clock
        self._connection: Any = None
        self._lock = threading.RLock()

    @contextlib.contextmanager
    def transaction(self, batch_id: int) -> Iterator[Any]:
        """A transaction for a batch: gives a cursor, or None when the store has the batch already.

        What is written through the cursor and the batch's id become visible together when the block ends; an
        exception in it undoes both. Do not commit in it.

        Args:
            batch_id: as foreachBatch gives it.

        Raises:
            StoreOutOfStep: the batch does not follow what the store holds.
        """
        with self._lock, self._open(batch_id) as cursor:
            yield cursor
            if cursor is not None:
                self._connection.commit()

    def foreach_batch(self, write: Callable[[Any, int, Any], None]) -> Callable[[Any, int], None]:
        """A function for `DataStreamWriter.foreachBatch` that calls ``write(batch, batch_id, cursor)`` once a batch."""

        def once(batch: Any, batch_id: int) -> None:
            with self.transaction(batch_id) as cursor:
                if cursor is not None:
                    write(batch, batch_id, cursor)

        return once

    def unseen(self, cursor: Any, keys: Iterable[str]) -> list[str]:
        """Those of the keys that were not seen within the time to live, each once, in order; they are seen now.

        Args:
            cursor: that of `transaction`: a key counts as seen only if the transaction is committed.
            keys: keys of messages; see `message_key`.
        """
        now = self._clock()
        self._execute(cursor, f"DELETE FROM {SEEN_TABLE} WHERE query = ? AND expires <= ?", (self.query, now))
        new = []
        for key in keys:
            statement = f"INSERT INTO {SEEN_TABLE} VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
            self._execute(cursor, statement, (self.query, key, now + self._ttl_seconds))
            if cursor.rowcount == 1:
                new.append(key)
        return new

    def newest_batch(self) -> int | None:
        """Id of the newest batch the store holds; None for none."""
        with self._lock:
            cursor = self._cursor()
            found = self._newest(cursor)
            self._connection.rollback()
            return found

    def close(self) -> None:
        """Closes the connection; what was not committed is undone."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    @contextlib.contextmanager
    def _open(self, batch_id: int) -> Iterator[Any]:
        """The transaction without its commit."""
        cursor = self._cursor()
        try:
            # the row's lock is the fence: of two programs that write under one name the second waits here
            insert = f"INSERT INTO {EPOCHS_TABLE} VALUES (?, NULL) ON CONFLICT DO NOTHING"
            self._execute(cursor, insert, (self.query,))
            self._execute(cursor, f"UPDATE {EPOCHS_TABLE} SET epoch = epoch WHERE query = ?", (self.query,))
            newest = self._newest(cursor)
            if newest == batch_id:
                yield None
                self._connection.rollback()
                return
            if newest is not None and newest + 1 != batch_id:
                raise StoreOutOfStep(
                    f"batch {batch_id} of the query '{self.query}' does not follow batch {newest}, the newest in the "
                    f"store: a checkpoint or the store was replaced; if it is right to start over, delete the query's "
                    f"row from {EPOCHS_TABLE}"
                )
            self._execute(cursor, f"UPDATE {EPOCHS_TABLE} SET epoch = ? WHERE query = ?", (batch_id, self.query))
            yield cursor
        except BaseException:
            self._connection.rollback()
            raise

    def _newest(self, cursor: Any) -> int | None:
        self._execute(cursor, f"SELECT epoch FROM {EPOCHS_TABLE} WHERE query = ?", (self.query,))
        row = cursor.fetchone()
        return row[0] if row else None

    def _cursor(self) -> Any:
        if self._connection is None:
            connection = self._connect()
            if _commits_alone(connection):
                raise IllegalArgumentException(
                    "the connection commits every statement at once: a handler needs transactions (autocommit=False)"
                )
            self._connection = connection
            cursor = connection.cursor()
            cursor.execute(f"CREATE TABLE IF NOT EXISTS {EPOCHS_TABLE} (query VARCHAR(255) PRIMARY KEY, epoch BIGINT)")
            cursor.execute(
                f"CREATE TABLE IF NOT EXISTS {SEEN_TABLE} (query VARCHAR(255), message VARCHAR(255), "
                "expires DOUBLE PRECISION, PRIMARY KEY (query, message))"
            )
            connection.commit()
        return self._connection.cursor()

    def _execute(self, cursor: Any, statement: str, values: Sequence[Any]) -> None:
        module = sys.modules.get(type(self._connection).__module__.partition(".")[0])
        if getattr(module, "paramstyle", "qmark") != "qmark":
            statement = re.sub(r"\?", "%s", statement)
        cursor.execute(statement, values)


def _commits_alone(connection: Any) -> bool:
    """True for a connection in autocommit mode; sqlite3 says it by an isolation level of None."""
    if type(connection).__module__.startswith("sqlite3"):
        return connection.isolation_level is None
    return getattr(connection, "autocommit", False) is True


class TwoStores:
    """Writes a batch to two databases: both or, as soon as the batch has come again, both.

    First the work is done in both, in open transactions: when either refuses, both are undone. Then both are
    committed, one after the other. A crash between the two leaves the first one batch ahead; foreachBatch gives the
    batch again, the first passes it over and the second takes it. `settled` says what both have: readers of both look
    no further than that.

    Args:
        first: committed first.
        second: committed second.
    """

    def __init__(self, first: ExactlyOnceHandler, second: ExactlyOnceHandler) -> None:
        self.first, self.second = first, second

    @contextlib.contextmanager
    def transaction(self, batch_id: int) -> Iterator[tuple[Any, Any]]:
        """Cursors of both stores; None for one that has the batch already."""
        first, second = self.first, self.second
        with first._lock, second._lock, first._open(batch_id) as one, second._open(batch_id) as other:
            yield one, other
            if one is not None:
                first._connection.commit()
            if other is not None:
                second._connection.commit()

    def settled(self) -> int | None:
        """Id of the newest batch that both stores hold; None for none."""
        first, second = self.first.newest_batch(), self.second.newest_batch()
        return None if first is None or second is None else min(first, second)


@dataclass(frozen=True)
class Validation:
    """What a comparison of keys found."""

    expected: int
    found: int
    lost: int
    doubled: int
    foreign: int
    lost_keys: tuple[Hashable, ...] = ()
    doubled_keys: tuple[Hashable, ...] = ()
    foreign_keys: tuple[Hashable, ...] = ()

    @property
    def is_exactly_once(self) -> bool:
        """True when every key is there as often as it was sent, and no other."""
        return self.lost == self.doubled == self.foreign == 0


def validate(expected: Iterable[Hashable], found: Iterable[Hashable]) -> Validation:
    """Counts what was lost and what was doubled. A key that was sent twice must be found twice.

    Args:
        expected: keys of what was sent.
        found: keys of what was written.
    """
    sent, written = Counter(expected), Counter(found)
    lost = sent - written
    more = written - sent
    doubled = Counter({key: count for key, count in more.items() if key in sent})
    foreign = Counter({key: count for key, count in more.items() if key not in sent})

    def named(keys: Counter[Hashable]) -> tuple[Hashable, ...]:
        return tuple(list(keys)[:NAMES_SHOWN_MAX])

    return Validation(
        expected=sent.total(),
        found=written.total(),
        lost=lost.total(),
        doubled=doubled.total(),
        foreign=foreign.total(),
        lost_keys=named(lost),
        doubled_keys=named(doubled),
        foreign_keys=named(foreign),
    )
