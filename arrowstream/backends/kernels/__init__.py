"""Polars functions as `pyarrow.compute` calls, a file for each namespace."""
