"""Kernels of the Arrow backend, one family of functions a file."""
