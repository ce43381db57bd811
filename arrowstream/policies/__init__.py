"""What to do about failures, as values."""
