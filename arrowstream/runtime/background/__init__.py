"""Runs in the background: their thread, what they have done so far, and rows that pass while somebody looks."""
