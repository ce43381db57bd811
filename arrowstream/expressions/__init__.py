"""Reading, printing and rebuilding Polars expressions; the lowered program."""
