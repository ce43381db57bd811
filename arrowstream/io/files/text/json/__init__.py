"""JSON read token by token: arrays, and values that Polars would change or lose."""
