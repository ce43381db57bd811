"""The contract of operators with several inputs: batches and marks come with their port."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import polars as pl
import pyarrow as pa
from contexts import context

from arrowstream.core.batch import Batch, Element, Idle, Watermark
from arrowstream.core.step_context import StepContext
from arrowstream.operators.base import MultiInputOperator, MultiInputProcess

SCHEMA = pl.Schema({"x": pl.Int64})


class Tagged(MultiInputOperator):
    """Rows of two inputs, each with the number of its port."""

    name = "tagged"

    def output_schema(self, *schemas: pl.Schema) -> pl.Schema:
        return pl.Schema({**schemas[0], "port": pl.Int32})

    def start(self, schemas: Sequence[pl.Schema], context: StepContext) -> MultiInputProcess:
        return Tagging(len(schemas))

    def describe(self) -> str:
        return "tagged()"


class Tagging(MultiInputProcess):
    """Passes the least watermark of the ports that have not ended."""

    def __init__(self, ports: int) -> None:
        self._times: dict[int, int | None] = dict.fromkeys(range(ports))

    def process(self, batch: Batch, port: int = 0) -> Iterable[Element]:
        yield batch.with_rows(batch.polars().with_columns(port=pl.lit(port, pl.Int32)))

    def on_watermark(self, time_us: int, port: int = 0) -> Iterable[Element]:
        self._times[port] = time_us
        times = list(self._times.values())
        return [Watermark(min(time for time in times if time is not None))] if None not in times else []

    def on_idle(self, port: int = 0) -> Iterable[Element]:
        return [Idle()]

    def snapshot(self) -> Iterator[pa.RecordBatch]:
        return iter(())

    def restore(self, batches: Iterator[pa.RecordBatch]) -> None: ...

    def finish(self) -> Iterator[Element]:
        return iter(())


def test_batches_and_marks_come_with_their_port() -> None:
    operator = Tagged()
    assert operator.inputs == 2 and operator.output_schema(SCHEMA, SCHEMA) == {
        "x": pl.Int64,
        "port": pl.Int32,
    }
    process, batch = operator.start([SCHEMA, SCHEMA], context()), Batch(pl.DataFrame({"x": [7]}))
    out = [*process.process(batch), *process.process(batch, 1)]
    assert [part.polars().rows() for part in out if isinstance(part, Batch)] == [[(7, 0)], [(7, 1)]]
    assert [*process.on_watermark(5), *process.on_watermark(3, 1)] == [Watermark(3)]
    assert list(process.on_idle(1)) == [Idle()]


def test_the_end_of_one_input_gives_nothing_unless_the_process_says_so() -> None:
    assert list(Tagged().start([SCHEMA, SCHEMA], context()).on_end(1)) == []
