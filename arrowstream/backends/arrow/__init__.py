"""The backend of pyarrow.compute kernels."""
