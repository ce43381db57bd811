"""Kernels of dates, times and durations."""
