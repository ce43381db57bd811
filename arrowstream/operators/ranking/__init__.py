"""`top_k` and `sort` while they run: the largest rows of groups, and groups that are complete."""
