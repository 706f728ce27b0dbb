"""Random pipelines as cases: a query in SQL and as a DataFrame, and batches of rows for it."""
