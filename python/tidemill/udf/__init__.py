"""The user's own functions over columns: `udf`, `pandas_udf`, `arrow_udf`, and what SQL calls them by.

Read `function` first: what such a function is to a plan. `values` and `arrays` run one over a batch.
"""

from tidemill.udf.function import UserDefinedFunction, arrow_udf, pandas_udf, udf
from tidemill.udf.registration import UDFRegistration

__all__ = ["UDFRegistration", "UserDefinedFunction", "arrow_udf", "pandas_udf", "udf"]
