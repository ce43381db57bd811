"""CSV, NDJSON, JSON and lines."""
