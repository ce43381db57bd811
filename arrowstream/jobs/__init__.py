"""Pipelines described in TOML files."""
