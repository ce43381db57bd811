"""Types and functions that every layer shares: batches, positions, channels, the clock, hints for errors."""
