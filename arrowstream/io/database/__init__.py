"""Databases as sources and sinks, through ADBC: SQLite, PostgreSQL and DuckDB."""
