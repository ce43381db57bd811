"""Kernels of the GPU backend: Polars' functions as trees of libcudf's operations."""
