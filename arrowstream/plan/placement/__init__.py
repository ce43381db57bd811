"""Which backend runs a segment, by fitted costs."""
