"""The queries q0 to q22 of the Nexmark suite: persons offer auctions, on which persons bid.

Tucker, Tufte, Papadimos and Maier, "NEXMark: a benchmark for queries over data streams" (2002), with the queries that
the suites for Beam and Flink have added. `generator` makes the events, `steps` has the queries as builders, `queries`
as SQL for `Pipeline.sql`, `by_duckdb` and `by_polars` as those run them over the whole at once, `by_bytewax` and
`by_flink` some of them as those run them over streams.
"""
