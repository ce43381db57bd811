"""The GPU backend; CUDA libraries are imported only in this folder, and only when the backend is asked for."""
