"""SQL queries as pipelines: read by sqlglot, turned into the steps of the builder."""
