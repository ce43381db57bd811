"""Worker threads and worker processes."""
