"""Windows while a source is silent: nothing is closed by silence, a later mark closes them."""

from typing import Any

import polars as pl
import pytest
from contexts import context

from arrowstream.core.batch import Batch, Idle, Watermark
from arrowstream.operators.base import Operator, Process
from arrowstream.operators.window import windows

ROWS = pl.DataFrame({"at": [1, 2_000_000], "x": [1, 2]})


@pytest.mark.parametrize("kind", ["size", "session"])
def test_silence_closes_no_window(kind: str) -> None:
    options: dict[str, Any] = {kind: "10s"}
    made: Operator = windows(lambda operator: operator, on="at", **options).agg(pl.col("x").sum())
    process = made.start(ROWS.schema, context())
    assert isinstance(process, Process)
    assert list(process.process(Batch(ROWS))) == []
    assert [type(element) for element in process.on_idle()] == [Idle]
    found = list(process.on_watermark(60_000_000))
    assert [element.polars()["x"].to_list() for element in found if isinstance(element, Batch)] == [[3]]
    assert isinstance(found[-1], Watermark)
