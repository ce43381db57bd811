"""What the GPU backend costs and brings, on a machine that has a GPU: ``make bench-gpu``."""
