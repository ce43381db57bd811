"""A database sink while it runs: its table, transactions, epochs and output log."""
