"""The GPU backend; CUDA libraries are imported only in here, and only when asked for."""
