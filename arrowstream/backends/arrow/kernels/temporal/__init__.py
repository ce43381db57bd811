"""Kernels of dates, times, durations and time zones."""
