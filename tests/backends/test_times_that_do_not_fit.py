"""Times that a cast cannot hold: an error that says what to do, or null, whatever the batch."""

from __future__ import annotations

import datetime as dt

import polars as pl
import pytest

from arrowstream import Pipeline, Source
from arrowstream.errors import StageError


@pytest.mark.parametrize("pin", ["arrow", "polars", "auto"])
@pytest.mark.parametrize("rows", [1, 1_000, 30_000])
def test_a_strict_cast_fails_and_another_gives_null_whatever_the_batch(pin: str, rows: int) -> None:
    last = dt.datetime(9999, 12, 31)
    frame = pl.DataFrame({"x": [last] + [dt.datetime(2026, 1, 1)] * (rows - 1)})
    builder = Pipeline.builder().source(Source.from_frame(frame))
    with pytest.raises(StageError) as raised:
        builder.cast({"x": pl.Datetime("ns")}).backend(pin).collect_sync()
    assert raised.value.hint is not None and "strict=False" in raised.value.hint
    found = builder.cast({"x": pl.Datetime("ns")}, strict=False).backend(pin).collect_sync()
    assert found["x"].null_count() == 1 and found["x"][0] is None
