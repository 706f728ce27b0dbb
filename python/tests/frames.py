"""Frames that read nothing, for tests of plans."""

from __future__ import annotations

from tidemill.dataframe import DataFrame
from tidemill.session import Session

EVENTS = [["ts", "timestamp", True], ["k", "string", True], ["v", "int", True], ["d", "double", True]]


def stream(
    name: str = "events", columns: list[list[object]] | None = None, session: Session | None = None
) -> DataFrame:
    """A frame over a stream that is never started."""
    options = {"connector": "files", "format": "json", "path": "unread"}
    definition = {"name": name, "columns": columns or EVENTS, "options": options, "static": False}
    return DataFrame({"node": "table", "name": [name]}, session or Session(), {name: definition})
