"""Kafka's record batches from and to Arrow columns."""
