"""A Kafka sink while it runs: rows in record batches, and their delivery."""
