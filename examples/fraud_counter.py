"""Counts the payments of each card in a visit, warns when there are too many, and forgets the card when it has been
quiet for ten minutes of event time: one value, one list and one timer a key.

    python examples/fraud_counter.py            # makes a directory with payments, runs over it, prints what came out
    python examples/fraud_counter.py DIRECTORY  # the same over JSON files of payments that are there
"""

import json
import sys
import tempfile
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

from tidemill import Row, Session
from tidemill.state import StatefulProcessor, StatefulProcessorHandle

PAYMENTS = "card STRING, amount DOUBLE, ts TIMESTAMP"
OUTPUT = "card STRING, what STRING, payments INT, total DOUBLE"
PAYMENTS_MAX = 3
QUIET_MS = 10 * 60 * 1000


class FraudCounter(StatefulProcessor):
    """A visit of a card ends when no payment has come for ten minutes."""

    def init(self, handle: StatefulProcessorHandle) -> None:
        self.handle = handle
        self.visit = handle.getValueState("visit", "payments INT, total DOUBLE, ends BIGINT")
        self.large = handle.getListState("large", "amount DOUBLE")

    def handleInputRows(self, key, rows: Iterator[Row], timerValues) -> Iterator[Row]:
        payments, total, ends = self.visit.get() or (0, 0.0, None)
        before = payments
        for row in rows:
            payments, total = payments + 1, total + row.amount
            if row.amount >= 500:
                self.large.appendValue((row.amount,))
            ends_now = int(row.ts.timestamp() * 1000) + QUIET_MS
            if ends is None or ends_now > ends:
                if ends is not None:
                    self.handle.deleteTimer(ends)
                self.handle.registerTimer(ends_now)
                ends = ends_now
        self.visit.update((payments, total, ends))
        if before <= PAYMENTS_MAX < payments:
            yield Row(card=key[0], what="too many payments", payments=payments, total=total)

    def handleExpiredTimer(self, key, timerValues, expiredTimerInfo) -> Iterator[Row]:
        payments, total, _ = self.visit.get()
        large = [amount for (amount,) in self.large.get()]
        yield Row(card=key[0], what=f"visit over, large: {large}", payments=payments, total=total)
        self.visit.clear()
        self.large.clear()


def payments_in(directory: Path) -> None:
    """Writes three files of payments."""
    start = datetime(2026, 1, 1, 12)
    minutes = [("alice", 10, 0), ("bob", 900, 1), ("alice", 20, 2), ("alice", 30, 3), ("alice", 40, 4),
               ("carol", 5, 30), ("bob", 700, 31), ("carol", 5, 60)]  # fmt: skip
    for number, part in enumerate((minutes[:4], minutes[4:6], minutes[6:])):
        rows = [
            {"card": card, "amount": amount, "ts": (start + timedelta(minutes=at)).isoformat() + "Z"}
            for card, amount, at in part
        ]
        (directory / f"{number}.json").write_text("\n".join(map(json.dumps, rows)))


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch, Session() as spark:
        source = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(scratch) / "payments"
        if len(sys.argv) == 1:
            source.mkdir()
            payments_in(source)
        payments = spark.readStream.schema(PAYMENTS).option("maxFilesPerTrigger", 1).json(str(source))
        seen = (
            payments.withWatermark("ts", "1 minute")
            .groupBy("card")
            .transformWithState(FraudCounter(), OUTPUT, outputMode="append", timeMode="eventTime")
        )
        query = seen.writeStream.foreachBatch(lambda batch, number: [print(number, *row) for row in batch.collect()])
        query = query.option("checkpointLocation", f"{scratch}/checkpoint").trigger(availableNow=True).start()
        query.awaitTermination()


if __name__ == "__main__":
    main()
