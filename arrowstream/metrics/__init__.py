"""Counters of a running pipeline, their snapshot, the Prometheus text and server."""
