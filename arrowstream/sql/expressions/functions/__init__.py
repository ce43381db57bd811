"""The functions of a query that look at one row, by subject."""
