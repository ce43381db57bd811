"""Backends that run segments; see `base.py` for the contract."""
