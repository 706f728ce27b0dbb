"""Tidemill: Spark Structured Streaming's API and semantics in one process, with results in milliseconds.

>>> from tidemill import Session, functions as F
>>> spark = Session.builder.appName("quick start").getOrCreate()

Modules: `session` (where frames come from), `dataframe` and `functions` (what is done with rows), `writer` and `query`
(queries that run), `stream_processor`, `transformations`, `stream_monitor`, `stream_schemas`,
`exactly_once_handler`.
"""

from tidemill import functions, types
from tidemill._tidemill import __version__
from tidemill.column import Column
from tidemill.dataframe import DataFrame
from tidemill.errors import AnalysisException, StreamingQueryException, TidemillException
from tidemill.functions import col, expr, lit
from tidemill.query import StreamingQuery, StreamingQueryListener
from tidemill.session import Session, SparkSession
from tidemill.state.table import read_state
from tidemill.stream_monitor import StreamMonitor
from tidemill.stream_processor import StreamProcessor
from tidemill.stream_schemas import SchemaRegistry
from tidemill.types import Row
from tidemill.window import Window

__all__ = [
    "AnalysisException",
    "Column",
    "DataFrame",
    "Row",
    "SchemaRegistry",
    "Session",
    "SparkSession",
    "StreamMonitor",
    "StreamProcessor",
    "StreamingQuery",
    "StreamingQueryException",
    "StreamingQueryListener",
    "TidemillException",
    "Window",
    "__version__",
    "col",
    "expr",
    "functions",
    "lit",
    "read_state",
    "types",
]
