"""Benchmarks: what the engine costs beside what it is compared to, in the same run."""
