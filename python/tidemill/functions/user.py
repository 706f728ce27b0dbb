"""What makes functions of the user's own, and what calls functions by name: see `tidemill.udf`."""

from tidemill.column import Column, ColumnOrName, call, to_column
from tidemill.errors import wrong_type
from tidemill.udf.aggregate import Aggregate, udaf
from tidemill.udf.function import arrow_udf, pandas_udf, udf

__all__ = ["Aggregate", "arrow_udf", "call_function", "call_udf", "pandas_udf", "udaf", "udf"]


def call_function(funcName: str, *cols: ColumnOrName) -> Column:
    """The call of a function by its name in SQL: a built-in one, or one that ``spark.udf.register`` has named."""
    if not isinstance(funcName, str):
        raise wrong_type("funcName", "the name of a function", funcName)
    return call(funcName, *map(to_column, cols))


call_udf = call_function
