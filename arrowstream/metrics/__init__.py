"""Counters of a running pipeline, and their snapshot, text and server."""
