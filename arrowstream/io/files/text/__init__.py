"""CSV, NDJSON and JSON files."""
