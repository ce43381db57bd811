"""Runs that are killed at random moments while they write files."""
