"""A Kafka source while it runs: its consumer, what it owns, fetches and hands out."""
