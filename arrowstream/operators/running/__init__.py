"""The running functions of `scan`."""
