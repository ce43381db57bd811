"""A join of two streams, written against the contracts alone: an operator with two ports and a step of the graph."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import polars as pl
import pyarrow as pa
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from arrowstream import Builder, Pipeline, Source
from arrowstream.core.batch import Batch, Element, Idle, Watermark
from arrowstream.core.step_context import StepContext
from arrowstream.operators.base import MultiInputOperator, MultiInputProcess
from arrowstream.plan.composites.multi_input import MultiInput


class Join(MultiInputOperator):
    name = "join"

    def output_schema(self, *schemas: pl.Schema) -> pl.Schema:
        left, right = schemas
        return pl.LazyFrame(schema=left).join(pl.LazyFrame(schema=right), on="k").collect_schema()

    def start(self, schemas: Sequence[pl.Schema], context: StepContext) -> MultiInputProcess:
        return Joining([pl.DataFrame(schema=schema) for schema in schemas])

    def describe(self) -> str:
        return "join(k)"


class Joining(MultiInputProcess):
    """Keeps the rows of both sides; each batch meets what has come of the other."""

    def __init__(self, sides: list[pl.DataFrame]) -> None:
        self._sides = sides

    def process(self, batch: Batch, port: int = 0) -> Iterable[Element]:
        self._sides[port] = pl.concat([self._sides[port], batch.polars()])
        left, right = (batch.polars(), self._sides[1]) if port == 0 else (self._sides[0], batch.polars())
        return [Batch(left.join(right, on="k"), ingest_ns=batch.ingest_ns)]

    def on_watermark(self, time_us: int, port: int = 0) -> list[Watermark]:
        return []

    def on_idle(self, port: int = 0) -> list[Idle]:
        return []

    def snapshot(self) -> Iterator[pa.RecordBatch]:
        return iter(())

    def restore(self, batches: Iterator[pa.RecordBatch]) -> None: ...

    def finish(self) -> list[Element]:
        return []


def sided(draw: Any, value: str) -> pl.DataFrame:
    keys = draw(st.lists(st.integers(0, 4), max_size=12))
    return pl.DataFrame({"k": keys, value: range(len(keys))}, schema={"k": pl.Int64, value: pl.Int64})


@settings(max_examples=examples(40))
@given(st.data())
def test_a_join_has_the_rows_of_polars_for_any_cuts(data: st.DataObject) -> None:
    left, right = sided(data.draw, "a"), sided(data.draw, "b")
    cut = [
        [0, *sorted(data.draw(st.lists(st.integers(0, side.height)))), side.height] for side in (left, right)
    ]
    streams = [
        Pipeline.builder().source(Source.from_frame([side[a:b] for a, b in pairwise(at)], schema=side.schema))
        for side, at in zip((left, right), cut, strict=True)
    ]
    step = MultiInput.of(Join(), [streams[1].with_columns(b=pl.col("b") * 2).graph])
    out = Builder(streams[0].graph.with_step(step)).filter(pl.col("a") >= 0).collect_sync()
    expected = left.join(right.with_columns(b=pl.col("b") * 2), on="k")
    assert out.schema == expected.schema
    assert out.sort("k", "a", "b").equals(expected.sort("k", "a", "b"))
