"""`unique` while it runs: the rows of keys over the whole stream, and within a time."""
