"""Expressions of a query as expressions of Polars."""
