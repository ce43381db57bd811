"""The choice of the backend that runs a segment, by fitted costs."""
