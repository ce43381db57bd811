"""What every layer shares: batches, positions, channels, the clock, hints in errors."""
