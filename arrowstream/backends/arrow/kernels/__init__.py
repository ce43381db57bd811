"""Kernels of the Arrow backend: one file per kind of function."""
