"""Wrong calls and names as errors with hints."""
