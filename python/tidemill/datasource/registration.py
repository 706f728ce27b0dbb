"""Data sources that a session knows by name: ``spark.dataSource``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tidemill.datasource.options import CaseInsensitiveDict
from tidemill.datasource.runner import StreamSource, all_rows
from tidemill.errors import AnalysisException, wrong_type

if TYPE_CHECKING:
    from tidemill.session import Session
    from tidemill.types import StructType


class DataSourceRegistration:
    """Gives data sources of the user's program names that frames can read them by."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def register(self, dataSource: type) -> None:
        """Registers a class derived from `DataSource`; it takes the place of one of the same name.

        Raises:
            AnalysisException: a name that a source or format of the engine has.
        """
        missing = [name for name in ("name", "schema", "streamReader") if not hasattr(dataSource, name)]
        if not isinstance(dataSource, type) or missing:
            raise wrong_type("dataSource", "a class derived from DataSource", dataSource)
        name = dataSource.name()
        known = json.loads(self._session._engine.connectors())
        if any(component["name"] == name.lower() and component["role"] != "sink" for component in known):
            raise AnalysisException(
                f"`{name}` is a source or format of the engine, and no name for a data source of yours",
                "DATA_SOURCE_ALREADY_EXISTS",
                {"provider": name},
            )
        self._session._sources[name.lower()] = dataSource


def opened(source: type, options: Mapping[str, str], schema: Any) -> tuple[Any, StructType]:
    """A data source with its options, and its columns: those given, or else its own."""
    from tidemill.types import StructType

    made = source(CaseInsensitiveDict(options))
    wanted = schema if schema is not None else made.schema()
    if isinstance(wanted, str):
        wanted = StructType.fromDDL(wanted)
    elif not isinstance(wanted, StructType):
        # PySpark's own type, by a class that is written for it
        wanted = StructType.fromJson(wanted.jsonValue())
    return made, wanted


__all__ = ["DataSourceRegistration", "StreamSource", "all_rows", "opened"]
