"""A file a workload: what is run, on which engines, and what is measured of it."""
