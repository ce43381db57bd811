"""Kernels of text functions."""
