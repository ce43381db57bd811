"""GROUP BY, functions of many rows, and windows."""
