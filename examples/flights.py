"""The main job: real flights in, the long delays cleaned, computed and written as partitioned Parquet.

    make demo

The same job as TOML is `flights.toml`: ``arrowstream run examples/flights.toml``.
"""

from __future__ import annotations

import polars as pl

from arrowstream import Pipeline, Sink, Source

FLIGHTS = ".data/flights.csv"
LATE = "out/late-flights/"


def late_flights(flights: str = FLIGHTS, late: str = LATE) -> Pipeline:
    """Flights that left more than an hour late, with their speed and the minutes they made up on the way."""
    return (
        Pipeline.builder(name="late-flights")
        .source(Source.from_file(flights))
        # Cancelled flights have "NA" where a number should be: it becomes null.
        .with_columns(pl.col("dep_delay", "arr_delay", "air_time").cast(pl.Int64, strict=False))
        .filter(pl.col("dep_delay") > 60, pl.col("arr_delay").is_not_null())
        .with_columns(
            mph=(pl.col("distance") / (pl.col("air_time") / 60.0)).round(1),
            made_up=pl.col("dep_delay") - pl.col("arr_delay"),
        )
        .select("month", "day", "carrier", "flight", "origin", "dest", "dep_delay", "made_up", "mph")
        .sink(Sink.to_file(late, format="parquet", partition_by=["origin", "month"], overwrite=True))
        .build()
    )


def main() -> None:
    """Run the job; show the plan before and after, the report, and the first rows written."""
    pipeline = late_flights()
    report = pipeline.run_sync(progress=True)
    print(pipeline.explain(), end="\n\n")
    print(f"{report.rows_in:,} flights in, {report.rows_out:,} late ones out, in {report.seconds:.2f} s")
    for stage in report.stages:
        batches = ", ".join(f"{count} x {kind}" for kind, count in stage.batches.items())
        print(f"  {stage.name:<50} {stage.rows_out:>9,} rows  {stage.busy_seconds:6.3f} s busy  {batches}")
    print(f"\nFirst rows of {LATE}")
    print(Pipeline.builder().source(Source.from_file(LATE)).preview(5))


if __name__ == "__main__":
    main()
