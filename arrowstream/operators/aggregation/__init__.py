"""Aggregations that are merged batch by batch, and grouping by key."""
