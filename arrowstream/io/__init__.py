"""Connectors, one per file; `source.py` and `sink.py` hold their contracts."""
