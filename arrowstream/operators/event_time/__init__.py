"""Event time: the latest time of rows, of a stream and by partition."""
