"""Data sources written in Python, under PySpark's names (``pyspark.sql.datasource``).

>>> class Numbers(DataSource):
...     def schema(self):
...         return "n BIGINT"
...
...     def streamReader(self, schema):
...         return NumbersReader(self.options)
>>> spark.dataSource.register(Numbers)
>>> spark.readStream.format("Numbers").option("limit", 10).load()

Offsets are dicts of JSON. Each epoch's two offsets are in the checkpoint before it is read, and an epoch that has to be
run again is read again between them, so a source that gives the same rows for the same offsets is exactly once.
"""

from tidemill.datasource.contract import (
    DataSource,
    DataSourceReader,
    DataSourceStreamReader,
    InputPartition,
    SimpleDataSourceStreamReader,
)
from tidemill.datasource.limits import (
    ReadAllAvailable,
    ReadLimit,
    ReadMaxBytes,
    ReadMaxFiles,
    ReadMaxRows,
    ReadMinRows,
    SupportsTriggerAvailableNow,
)
from tidemill.datasource.options import CaseInsensitiveDict
from tidemill.datasource.registration import DataSourceRegistration

__all__ = [
    "CaseInsensitiveDict",
    "DataSource",
    "DataSourceReader",
    "DataSourceRegistration",
    "DataSourceStreamReader",
    "InputPartition",
    "ReadAllAvailable",
    "ReadLimit",
    "ReadMaxBytes",
    "ReadMaxFiles",
    "ReadMaxRows",
    "ReadMinRows",
    "SimpleDataSourceStreamReader",
    "SupportsTriggerAvailableNow",
]
