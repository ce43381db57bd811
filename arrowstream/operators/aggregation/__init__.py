"""Aggregations that are merged batch by batch."""
