"""Finding files: walking folders and matching patterns."""
