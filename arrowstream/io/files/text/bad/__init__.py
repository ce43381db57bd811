"""Rows of CSV and NDJSON that cannot be read: found, and put aside with their places."""
