"""`explain()` is stable text: what it says is compared word for word."""

from pathlib import Path

import polars as pl
import pytest

from arrowstream import Builder, Pipeline, Sink, Source
from arrowstream.testing import TestSink, TestSource, Watermark

BIDS = pl.DataFrame({"auction": [1, 2], "price": [90.0, 200.0], "bidder": ["a", "b"]})


def bids() -> Builder:
    return (
        Pipeline.builder(name="bids")
        .source(Source.from_frame(BIDS))
        .with_columns(eur=pl.col("price") * 0.908)
        .filter(pl.col("eur") > 100)
        .batch(rows=1000)
        .select("auction", "eur")
        .backend("polars")
    )


def test_stages_fusion_schemas_backends_and_guarantee() -> None:
    assert (
        bids().sink(TestSink()).build().explain()
        == """\
pipeline bids
  source: frame
    -> auction: Int64, price: Float64, bidder: String
  stage with_columns+filter
      with_columns(eur = price * 0.908)
      filter(eur > 100)
    backend: auto: arrow below ~45,000 rows, polars above
    -> auction: Int64, price: Float64, bidder: String, eur: Float64
  stage batch
      batch(rows=1000)
    -> auction: Int64, price: Float64, bidder: String, eur: Float64
  stage select
      select(auction, eur)
    backend: pinned: polars
    -> auction: Int64, eur: Float64
  sink: test
    guarantee: in memory: complete when the run has ended well"""
    )


def test_a_file_that_takes_the_segment_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    BIDS.write_parquet(tmp_path / "bids.parquet", compression="uncompressed")
    monkeypatch.chdir(tmp_path)
    builder = Pipeline.builder(name="bids").source(Source.from_file("bids.parquet"))
    pipeline = (
        builder.filter(pl.col("price") > 100).select("auction").sink(Sink.to_file("out.parquet")).build()
    )
    lines = pipeline.explain().splitlines()
    assert lines[:4] == [
        "pipeline bids",
        "  source: file bids.parquet (parquet, 1 file)",
        "    columns: 2 of 3 (auction, price)",
        "    filter: price > 100.0",
    ]
    assert lines[4].startswith("    bytes: ")
    assert lines[5:] == [
        "    runs inside the read, on polars:",
        "      filter(price > 100)",
        "      select(auction)",
        "    -> auction: Int64",
        "  sink: file out.parquet (parquet, zstd)",
        "    guarantee: atomic: the final name appears only when the run has succeeded",
        "  with checkpoints: not possible: a Parquet file out.parquet: a Parquet file cannot grow from checkpoint to "
        "checkpoint",
    ]


def test_text_files_take_columns_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    BIDS.write_csv(tmp_path / "bids.csv")
    monkeypatch.chdir(tmp_path)
    builder = Pipeline.builder(name="bids").source(Source.from_file("bids.csv"))
    text = builder.filter(pl.col("price") > 100).select("auction").sink(TestSink()).build().explain()
    assert "columns: 2 of 3 (auction, price)" in text
    assert "stage filter+select" in text
    assert "runs inside the read" not in text


def test_a_refusal_is_given_with_its_reason() -> None:
    frame = pl.DataFrame({"l": [[1]]})
    builder = Pipeline.builder().source(Source.from_frame(frame)).select(pl.col("l").list.max())
    text = builder.sink(TestSink()).build().explain()
    assert "    backend: polars only: arrow refused (" in text


def test_fitted_costs_after_a_run() -> None:
    pipeline = bids().sink(TestSink()).build()
    assert "costs:" not in pipeline.explain()
    pipeline.run_sync()
    assert "costs: arrow " in pipeline.explain()
    assert "us + " in pipeline.explain()


def test_what_can_be_said_before_the_schema_is_known() -> None:
    source = TestSource.from_list([1]).undeclared()
    builder = Pipeline.builder(name="later").source(source).filter(pl.col("value") > 0).backend("arrow")
    assert (
        builder.batch(rows=2).sink(TestSink()).build().explain()
        == """\
pipeline later
  source: test
    schema: learnt from the first batch, then checked
  step filter: filter(value > 0)  [backend arrow]
  step batch: batch(rows=2)
  sink: test
    guarantee: in memory: complete when the run has ended well"""
    )


def times(*marks: Watermark) -> Builder:
    return Pipeline.builder().source(TestSource.from_frames([pl.DataFrame({"t": [1], "k": ["a"]}), *marks]))


def windowed(rows: Builder) -> Builder:
    return rows.window("1s", on="t", late=TestSink()).agg(pl.len())


@pytest.mark.parametrize(
    ("builder", "marked"),
    [
        (windowed(times()), False),
        (windowed(times(Watermark(1))), True),
        (windowed(times().with_event_time("t")), True),
        (windowed(times().filter(pl.col("t") > 0).with_event_time("t").filter(pl.col("t") > 0)), True),
        (windowed(times().filter(pl.col("t") > 0)), False),
        (times().split("k").branch("a", windowed).merge(), False),
        (times().with_event_time("t").split("k").branch("a", windowed).merge(), True),
        (windowed(times().split("k").branch("a", lambda rows: rows.with_event_time("t")).merge()), True),
        (windowed(times().split("k").branch("a").merge()), False),
        (windowed(times().merge(times())), False),
        (windowed(times().merge(times().with_event_time("t"))), True),
        (windowed(times().merge(times(Watermark(1)))), True),
        (times().window("1s", on="t").agg(pl.len()).merge(windowed(times())), False),
        (times(Watermark(1)).window("1s", on="t").agg(pl.len()).merge(windowed(times(Watermark(1)))), True),
        (times().window("1s", on="t").agg(pl.len()), True),
    ],
)
def test_late_rows_need_watermarks(builder: Builder, marked: bool) -> None:
    text = builder.explain()
    assert ("no watermark: no row is ever late; put with_event_time(...) before it" in text) != marked
