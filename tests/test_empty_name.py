"""A column without a name, as pandas writes its index into a CSV file, is one like any other."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from arrowstream import Pipeline, Sink, Source
from arrowstream.core.batch import Batch, to_frame, to_record
from arrowstream.core.rows.empty_frames import nulls
from arrowstream.core.rows.pandas_frames import from_pandas
from arrowstream.pipeline import Builder
from arrowstream.state.owned_rows import owned

FRAME = pl.select(
    (pl.int_range(60) % 5).alias(""),
    x=pl.int_range(60).cast(pl.Float64),
    t=pl.datetime_range(datetime(2026, 1, 1), datetime(2026, 1, 1, 0, 0, 59), interval="1s"),
)
TABLE = pl.DataFrame({"": [1, 2, 3], "v": ["a", "b", "c"]})
X, NAMELESS = pl.col("x"), pl.col("")


def test_forms_of_rows_keep_it() -> None:
    assert to_frame(to_record(FRAME)).columns == FRAME.columns
    assert Batch(to_record(FRAME)).polars().columns == FRAME.columns
    assert nulls(FRAME.schema, 2).schema == FRAME.schema
    nested = FRAME.select(pl.struct(s=pl.lit("text")).alias("")).filter(pl.int_range(pl.len()) < 2)
    assert_frame_equal(owned(nested), nested)
    pandas = pytest.importorskip("pandas")
    found = from_pandas(pandas.DataFrame({"": [1], "a": [2]}))
    assert isinstance(found, pl.DataFrame)
    assert found.columns == ["", "a"]


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (lambda b: b.filter(NAMELESS > 2), FRAME.filter(NAMELESS > 2)),
        (lambda b: b.filter(NAMELESS.sin() > 0), FRAME.filter(NAMELESS.sin() > 0)),
        (
            lambda b: b.reduce(X.sum(), by=""),
            FRAME.group_by("", maintain_order=True).agg(X.sum()),
        ),
        (
            lambda b: b.reduce(X.first(), y=X.median(), by=""),
            FRAME.group_by("", maintain_order=True).agg(X.first(), y=X.median()),
        ),
        (
            lambda b: b.window(size="10s", on="t", by="").agg(X.sum()).select("", "x"),
            FRAME.group_by_dynamic("t", every="10s", group_by="").agg(X.sum()).sort("t", "").select("", "x"),
        ),
        (lambda b: b.join(TABLE, on=""), FRAME.join(TABLE, on="", maintain_order="left")),
        (lambda b: b.unique("", keep="first"), FRAME.unique("", keep="first", maintain_order=True)),
        (lambda b: b.map(lambda frame: frame, frame="pandas"), FRAME),
    ],
    ids=["arrow", "polars", "sums", "kept rows", "window", "join", "unique", "pandas"],
)
def test_steps_take_it(step: Callable[[Builder], Builder], expected: pl.DataFrame) -> None:
    found = step(Pipeline.builder().source(Source.from_frame(FRAME, batch_rows=7))).collect_sync()
    assert_frame_equal(found, expected)


def test_a_file_that_pandas_wrote_with_its_index(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text(",a\n0,2\n1,4\n")
    steps = Pipeline.builder().source(Source.from_file(tmp_path / "in.csv")).with_columns(b=pl.col("a") * 2)
    steps.batch(rows=1).filter(pl.col("b") > 4).sink(Sink.to_file(tmp_path / "out.csv")).build().run_sync()
    assert pl.read_csv(tmp_path / "out.csv").rows() == [(1, 4, 8)]
