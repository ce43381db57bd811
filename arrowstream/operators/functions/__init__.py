"""Calling a user's function on batches."""
