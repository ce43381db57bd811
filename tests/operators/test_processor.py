"""`process`: the user's own steps with state, resources and snapshots."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from itertools import pairwise
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from contexts import context
from hypothesis import given
from hypothesis import strategies as st
from snapshots import held_rows

from arrowstream import Pipeline, Processor, Source
from arrowstream.core.batch import Batch
from arrowstream.core.position import Position
from arrowstream.errors import PlanError, SchemaError, StageError
from arrowstream.operators.base import AsyncProcess
from arrowstream.operators.process import ProcessorStep

SCHEMA = pl.Schema({"x": pl.Int64})


def batch(*values: int) -> Batch:
    return Batch(pl.DataFrame({"x": values}, SCHEMA), Position("here", 0, len(values)), 7)


def started(processor: Any) -> AsyncProcess:
    return ProcessorStep(processor).start(SCHEMA, context())


class Sum(Processor):
    """Running sum, which holds the last row back until the next batch or the end."""

    def __init__(self) -> None:
        self.total = 0
        self.held: list[int] = []
        self.calls: list[str] = []

    def output_schema(self, schema: pl.Schema) -> pl.Schema:
        return pl.Schema({"sum": pl.Int64})

    async def open(self) -> None:
        self.calls.append("open")

    async def process(self, batch: pa.RecordBatch) -> Any:
        assert isinstance(batch, pa.RecordBatch)
        await asyncio.sleep(0)
        rows = self.held + batch["x"].to_pylist()
        self.held = rows[-1:]
        out = []
        for value in rows[:-1]:
            self.total += value
            out.append(self.total)
        return pl.DataFrame({"sum": out}, {"sum": pl.Int64})

    async def finish(self) -> Any:
        self.calls.append("finish")
        return [pl.DataFrame({"sum": [self.total + value]}) for value in self.held]

    async def close(self) -> None:
        self.calls.append("close")

    def snapshot(self) -> Any:
        return pl.DataFrame({"total": [self.total], "held": [self.held]})

    def restore(self, state: pa.Table) -> None:
        self.total, self.held = state["total"][0].as_py(), state["held"][0].as_py()


async def drive(process: AsyncProcess, batches: list[Batch]) -> list[Any]:
    return [row for item in batches for part in await process.process(item) for row in part.polars().rows()]


@given(
    values=st.lists(st.integers(-5, 5), max_size=12), cuts=st.lists(st.integers(0, 12)), at=st.integers(0, 9)
)
def test_a_snapshot_anywhere_continues_exactly(values: list[int], cuts: list[int], at: int) -> None:
    bounds = [0, *sorted(min(cut, len(values)) for cut in cuts), len(values)]
    batches = [batch(*values[start:stop]) for start, stop in pairwise(bounds)]

    async def main() -> list[Any]:
        first, second = started(Sum), started(Sum)
        await first.open()
        out = await drive(first, batches[:at])
        await second.open()
        second.restore(first.snapshot())
        out += await drive(second, batches[at:])
        return out + [row for part in await second.finish() for row in part.polars().rows()]

    assert asyncio.run(main()) == pl.Series(values, dtype=pl.Int64).cum_sum().to_frame().rows()


def test_the_runtime_opens_finishes_and_closes_it() -> None:
    processor = Sum()
    source = Source.from_frame([pl.DataFrame({"x": [1, 2]}), pl.DataFrame({"x": [3]})])
    steps = Pipeline.builder().source(source).process(processor)
    assert steps.schema() == {"sum": pl.Int64}
    assert steps.collect_sync()["sum"].to_list() == [1, 3, 6]
    assert processor.calls == ["open", "finish", "close"]


def test_a_class_or_a_function_gives_every_run_a_fresh_one_and_an_instance_goes_on() -> None:
    source = Source.from_frame(pl.DataFrame({"x": [1, 2]}))
    instance = Sum()
    for processor, second in ((Sum, [1, 3]), (lambda: Sum(), [1, 3]), (instance, [3, 4, 6])):
        steps = Pipeline.builder().source(source).process(processor)
        assert steps.collect_sync()["sum"].to_list() == [1, 3]
        assert steps.collect_sync()["sum"].to_list() == second


class Returning(Processor):
    """Gives what it was made with."""

    def __init__(self, make: Any) -> None:
        self.make = make

    async def process(self, batch: pa.RecordBatch) -> Any:
        return self.make(batch)


async def later(record: pa.RecordBatch) -> AsyncIterator[Any]:
    for start in range(record.num_rows):
        await asyncio.sleep(0)
        yield record.slice(start, 1)


@pytest.mark.parametrize(
    ("make", "sizes"),
    [
        (lambda record: None, []),
        (lambda record: record, [2]),
        (lambda record: pl.DataFrame(record), [2]),
        (lambda record: pa.Table.from_batches([record]), [2]),
        (lambda record: [record, record], [2, 2]),
        (lambda record: (record.slice(start, 1) for start in range(2)), [1, 1]),
        (later, [1, 1]),
    ],
)
def test_what_a_processor_may_return(make: Any, sizes: list[int]) -> None:
    out = list(asyncio.run(_process(Returning(make))))
    assert [part.num_rows for part in out] == sizes
    assert [value for part in out for value in part.polars()["x"]] == [1, 2] * (sum(sizes) // 2)
    assert {(part.position, part.ingest_ns) for part in out} <= {(Position("here", 0, 2), 7)}


async def _process(processor: Processor) -> Any:
    return await started(processor).process(batch(1, 2))


class Generating(Processor):
    async def process(self, batch: pa.RecordBatch) -> Any:
        for _ in range(2):
            await asyncio.sleep(0)
            yield batch


class Plain(Processor):
    def process(self, batch: pa.RecordBatch) -> Any:  # type: ignore[override]
        return batch


@pytest.mark.parametrize(("kind", "sizes"), [(Generating, [2, 2]), (Plain, [2])])
def test_process_may_be_a_generator_or_a_plain_method(kind: Any, sizes: list[int]) -> None:
    assert [part.num_rows for part in asyncio.run(_process(kind()))] == sizes


def test_without_more_than_process_it_changes_no_schema_and_has_no_state() -> None:
    process = started(Plain)

    async def main() -> None:
        await process.open()
        assert [part.polars()["x"].to_list() for part in await process.process(batch(1))] == [[1]]
        assert list(await process.finish()) == []
        await process.close()

    asyncio.run(main())
    assert ProcessorStep(Plain).output_schema(SCHEMA) == SCHEMA
    assert held_rows(process).width == 0
    process.restore(process.snapshot())


def test_a_snapshot_without_restore_says_what_is_missing() -> None:
    class Forgetful(Plain):
        def snapshot(self) -> Any:
            return pa.table({"n": [1]})

    process = started(Forgetful)
    with pytest.raises(NotImplementedError, match=r"Forgetful has a snapshot\(\) but no restore"):
        process.restore(process.snapshot())


def test_a_schema_may_be_a_dict_and_rows_are_held_to_it() -> None:
    class Widening(Plain):
        def output_schema(self, schema: pl.Schema) -> Any:
            return {"x": pl.Float64}

    class Rounding(Plain):
        def output_schema(self, schema: pl.Schema) -> Any:
            return {"x": pl.Float32}

    refusal = (
        r"the processor .*\n.*expected: x: Float32\n.*found: x: Int64 instead of Float32\n.*output_schema"
    )
    with pytest.raises(SchemaError, match=refusal):
        asyncio.run(_process(Rounding()))

    class Narrow(Widening):
        def process(self, batch: pa.RecordBatch) -> Any:  # type: ignore[override]
            return pl.DataFrame({"x": [1]}, {"x": pl.Int8})

    (out,) = asyncio.run(_process(Narrow()))
    assert out.polars().schema == {"x": pl.Float64}

    class Nothing(Plain):
        def output_schema(self, schema: pl.Schema) -> Any:
            return None

    (out,) = asyncio.run(_process(Nothing()))
    assert out.polars().schema == SCHEMA
    assert ProcessorStep(Nothing).output_schema(SCHEMA) == SCHEMA


@pytest.mark.parametrize(
    ("processor", "found"),
    [(3, "int 3"), (lambda: 4, "int 4"), (lambda: (yield), "generator"), (dict, "dict {}")],
)
def test_what_is_no_processor_is_refused(processor: Any, found: str) -> None:
    with pytest.raises(PlanError, match=f"process\\(\\) needs a processor\n.*\n.*found: {found}"):
        ProcessorStep(processor).output_schema(SCHEMA)


def test_what_makes_a_processor_takes_no_parameters() -> None:
    class Above(Plain):
        def __init__(self, limit: int, *more: int, other: int = 1, **rest: int) -> None:
            raise AssertionError("not called")

    def doubled(batch: pa.RecordBatch) -> Any:
        raise AssertionError("not called")

    needs: Any = Above
    with pytest.raises(PlanError, match=r"found: Above\(limit\)\n.*process\(lambda: Above\(limit\)\)"):
        ProcessorStep(needs)
    function: Any = doubled
    with pytest.raises(PlanError, match=r"found: doubled\(batch\)\n.*a plain function .* map\(fn\)"):
        ProcessorStep(function)


def test_a_failure_names_stage_and_position_and_everything_is_closed() -> None:
    class Failing(Sum):
        async def process(self, batch: pa.RecordBatch) -> Iterator[Any]:
            raise LookupError("no such row")

    processor = Failing()
    source = Source.from_frame(pl.DataFrame({"x": [1, 2]}))
    with pytest.raises(StageError, match="LookupError: no such row") as caught:
        Pipeline.builder().source(source).process(processor).collect_sync()
    assert (caught.value.stage, caught.value.position) == ("process", "frame rows 0-2")
    assert processor.calls == ["open", "close"]


def test_text() -> None:
    assert ProcessorStep(Plain).describe() == "process(Plain)"
    assert ProcessorStep(Sum).describe() == "process(Sum, holds watermarks until the end)"
    assert ProcessorStep(Sum()).describe() == ProcessorStep(Sum).describe()
    assert ProcessorStep(lambda: Sum()).describe() == "process(<lambda>, holds watermarks until the end)"
