"""Staging: files get their final names only when all of them are complete and on disk."""
