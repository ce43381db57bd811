"""From Polars' typed plan of a segment to a program."""
