"""A database source while it runs."""
