"""Kernels that users write: their sources, compilation without a device, and launches."""
