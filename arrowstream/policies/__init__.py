"""Error handlers, backoff and dead letters, as values."""
