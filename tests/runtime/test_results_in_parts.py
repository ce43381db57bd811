"""What a step gives at a mark or at the end is made as it is taken: it may be more than there is memory for."""

import asyncio
from collections.abc import Iterator
from typing import Any

import polars as pl
import pytest
from scripted import ScriptedOperator, ScriptedProcess

from arrowstream import Builder, Pipeline, Sink
from arrowstream.core.batch import Batch, Element
from arrowstream.core.batch import Watermark as Mark
from arrowstream.operators.base import Operator
from arrowstream.testing import TestSource, Watermark

PARTS = 100
LARGE = pl.DataFrame({"x": range(65_536)})
SMALL = pl.DataFrame({"x": [1]})


def step(part: pl.DataFrame, made: list[int], at_the_end: bool) -> Operator:
    """Gives a hundred parts, and notes each when it is made."""

    def parts() -> Iterator[Element]:
        for number in range(PARTS):
            made.append(number)
            yield Batch(part)

    class Holding(ScriptedProcess):
        def process(self, batch: Batch) -> list[Batch]:
            return []

        def on_watermark(self, time_us: int) -> Iterator[Element]:
            if not at_the_end:
                yield from parts()
            yield Mark(time_us)

        def finish(self) -> Iterator[Element]:  # type: ignore[override]
            if at_the_end:
                yield from parts()

    return ScriptedOperator("hold", Holding)


@pytest.mark.parametrize("at_the_end", [False, True])
@pytest.mark.parametrize(("part", "ahead"), [(LARGE, 10), (SMALL, PARTS)], ids=["large", "small"])
def test_no_more_is_made_than_is_taken(part: pl.DataFrame, ahead: int, at_the_end: bool) -> None:
    made: list[int] = []
    taken: list[int] = []
    most = 0

    async def take(batch: Any) -> None:
        nonlocal most
        most = max(most, len(made) - len(taken))
        taken.append(batch.num_rows)
        await asyncio.sleep(0)

    source = TestSource.from_frames([SMALL, Watermark(1)])
    rows = Pipeline.builder().source(source)
    rows = Builder(rows.graph.with_step(step(part, made, at_the_end)))
    report = rows.sink(Sink.to_fn(take)).build().run_sync()
    assert taken == [part.height] * PARTS
    assert report.rows_out == PARTS * part.height
    # Small parts come together: a hop to a thread for each would take longer than they do.
    assert most <= ahead
    assert most > ahead // 2 or part is LARGE
