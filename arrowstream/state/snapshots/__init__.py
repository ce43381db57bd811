"""Parts of snapshots: key shards, rows cut into them, and batches that are made while they are read."""
