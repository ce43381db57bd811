"""File sinks in a run with checkpoints: what the rows of an epoch are written to, and how they become visible."""
