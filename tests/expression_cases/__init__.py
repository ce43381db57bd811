"""Expressions that backends are tested with."""
