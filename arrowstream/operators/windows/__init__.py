"""Window operators and their state."""
