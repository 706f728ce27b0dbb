"""The state of a query as a table: what `tidemill state show` shows, for Python."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow

    from tidemill.column import Column


def read_state(
    checkpoint: str | os.PathLike[str],
    operator: str | int | None = None,
    *,
    batchId: int | None = None,
    where: str | Column | None = None,
) -> pyarrow.Table:
    """The rows of an operator's state, from a snapshot in a checkpoint. Its query may run.

    A query that stops makes a snapshot; of one that was killed the newest may be older than its last batch.

    Args:
        checkpoint: directory of the checkpoint.
        operator: its name (``"counts/aggregate"``) or number, as ``tidemill state ls`` lists them; may be left out when
            there is only one.
        batchId: the state after this batch, of which there must be a snapshot; default: the newest snapshot.
        where: only rows for which this is true.

    Returns:
        A table: the key's columns, and what is kept of each key.

    Raises:
        AnalysisException: there is no checkpoint, snapshot or operator of this kind.
    """
    from tidemill.session import Session  # the package imports this module first

    options: dict[str, Any] = {}
    if operator is not None:
        options["operator"] = operator
    if batchId is not None:
        options["batchId"] = batchId
    frame = Session.builder.getOrCreate().read.format("statestore").load(checkpoint, **options)
    return (frame if where is None else frame.filter(where)).toArrow()
