"""What makes functions of the user's own: see `tidemill.udf`."""

from tidemill.udf.aggregate import Aggregate, udaf
from tidemill.udf.function import arrow_udf, pandas_udf, udf

__all__ = ["Aggregate", "arrow_udf", "pandas_udf", "udaf", "udf"]
