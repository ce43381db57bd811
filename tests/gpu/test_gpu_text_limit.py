"""A batch with more text than libcudf counts is computed in parts, or on the CPU; no row is lost."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest
from gpu.device_backend import batch, fake_backend, prepared
from polars.testing import assert_frame_equal

from arrowstream.operators.filter import Filter
from arrowstream.operators.with_columns import WithColumns

pytestmark = pytest.mark.once

ROWS = 4_096
FRAME = pl.select(n=pl.int_range(ROWS), s=pl.lit("ten bytes.").repeat_by(1).list.join("")).with_columns(
    s=pl.concat_str("s", pl.col("n").cast(pl.String).str.zfill(6)), t=pl.lit("ab")
)
"""Rows of 16 bytes of text, of which a column takes 64 KiB, and 32 KiB for the places where each begins."""

LONGER: dict[str, tuple[pl.Expr, int]] = {
    "joined": (pl.concat_str("s", "t", "s", separator="-"), 150_000),
    "replaced": (pl.col("s").str.replace_all("t", "a longer text", literal=True), 400_000),
    "padded": (pl.col("t").str.pad_start(60, "é"), 150_000),
}


@pytest.mark.parametrize("limit", [60_000, 90_000])
def test_text_that_does_not_fit_comes_in_parts(
    machine: Any, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    from arrowstream.gpu import text_limit

    monkeypatch.setattr(text_limit, "TEXT_LIMIT", limit)
    steps = Filter.of(pl.col("s").str.ends_with("7")), WithColumns.of(size=pl.col("s").str.len_bytes())
    with fake_backend() as backend:
        found = prepared(backend, FRAME, *steps)(batch(FRAME)).polars()
    assert_frame_equal(found, steps[1].apply(steps[0].apply(FRAME)))
    brought = [upload.columns for upload in machine.log.uploads if "s" in upload.columns]
    assert len(brought) == 2


@pytest.mark.parametrize("name", LONGER)
def test_a_result_that_may_be_too_long_is_made_in_parts(
    machine: Any, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    from arrowstream.gpu import text_limit

    monkeypatch.setattr(text_limit, "TEXT_LIMIT", LONGER[name][1])
    step = WithColumns.of(longer=LONGER[name][0])
    with fake_backend() as backend:
        found = prepared(backend, FRAME, step)(batch(FRAME)).polars()
        assert not backend._device().breaker.is_open
    assert_frame_equal(found, step.apply(FRAME))
    brought = [upload for upload in machine.log.uploads if upload.columns != ("",)]
    assert len(brought) > 1


def test_a_row_that_does_not_fit_is_computed_on_the_cpu(
    machine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from arrowstream.gpu import text_limit

    monkeypatch.setattr(text_limit, "TEXT_LIMIT", 100)
    step = WithColumns.of(size=pl.col("s").str.len_chars())
    frame = pl.DataFrame({"s": ["x" * 200, "y"]})
    with fake_backend() as backend:
        found = prepared(backend, frame, step)(batch(frame)).polars()
    assert_frame_equal(found, step.apply(frame))
    assert not machine.log.downloads


def test_the_limit_is_that_of_32_bits() -> None:
    from arrowstream.gpu.text_limit import check_text

    check_text([2**31 - 1, 0])
    with pytest.raises(MemoryError, match="2147483648 bytes of text in a column"):
        check_text([5, 2**31])
