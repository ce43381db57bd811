"""The database systems: their connections, types and failures."""
