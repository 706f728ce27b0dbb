"""The user's own functions over columns: `udf`, `pandas_udf`, `arrow_udf`, aggregates, and what SQL calls them by.

Read `function` first: what such a function is to a plan. `values` and `arrays` run one over a batch, `batches` has
functions of whole batches.
"""

from tidemill.udf.aggregate import Aggregate, AggregateFunction, udaf
from tidemill.udf.function import UserDefinedFunction, arrow_udf, pandas_udf, udf
from tidemill.udf.registration import UDFRegistration

__all__ = [
    "Aggregate",
    "AggregateFunction",
    "UDFRegistration",
    "UserDefinedFunction",
    "arrow_udf",
    "pandas_udf",
    "udaf",
    "udf",
]
