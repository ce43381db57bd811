"""Connectors: one per file; see `base.py` for the contract."""
