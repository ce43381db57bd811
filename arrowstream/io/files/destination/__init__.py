"""Destination of a sink: what its arguments mean, and whether they fit what the target holds."""
