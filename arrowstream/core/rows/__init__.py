"""Forms and types of rows, inside and outside the engine."""
