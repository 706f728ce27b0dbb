"""Avro inside columns, where PySpark has it: `tidemill.avro.functions`."""

from tidemill.avro.functions import from_avro, to_avro

__all__ = ["from_avro", "to_avro"]
