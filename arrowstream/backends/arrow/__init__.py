"""The Arrow backend: programs run by `pyarrow.compute` kernels."""
