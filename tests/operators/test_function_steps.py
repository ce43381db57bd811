"""`map`, `flat_map` and `filter_map` with the user's own functions."""

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from functools import partial
from types import ModuleType
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from contexts import context
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from strategies import cuts, frames

from arrowstream import Pipeline, Source
from arrowstream.core.batch import Batch
from arrowstream.core.position import Position
from arrowstream.core.rows.arrow_schema import arrow_schema
from arrowstream.errors import MissingExtra, PlanError, SchemaError, StageError
from arrowstream.operators.base import AsyncProcess, Process
from arrowstream.operators.filter_map import FilterMap, filter_mapping
from arrowstream.operators.flat_map import FlatMap, flat_mapping
from arrowstream.operators.functions import schema as function_schema
from arrowstream.operators.functions.step import FunctionStep
from arrowstream.operators.map import MapFunction, mapping

FRAME = pl.DataFrame({"x": [1, 2, 3, 4], "s": ["a", None, "c", "d"]})


def run(step: FunctionStep, *batches: Any) -> list[Batch]:
    """What comes out of a step over batches, whichever kind of process it has."""
    schema = pl.DataFrame(batches[0]).schema
    process = step.start(schema, context())
    if isinstance(process, AsyncProcess):
        waiting = process

        async def driven() -> list[Batch]:
            return [part for batch in batches for part in await waiting.process(Batch(batch))]

        return asyncio.run(driven())
    return [part for batch in batches for part in process.process(Batch(batch)) if isinstance(part, Batch)]


def rows(batches: list[Batch]) -> list[tuple[Any, ...]]:
    return [row for batch in batches for row in batch.polars().rows()]


# What a function gets and gives


def test_each_form_is_what_was_asked_for() -> None:
    got: list[Any] = []

    def noted(frame: Any) -> Any:
        got.append(type(frame))
        return frame

    for form in ("arrow", "polars", "pandas"):
        (out,) = run(MapFunction(noted, form), FRAME)
        assert_frame_equal(out.polars(), FRAME)
    assert got == [kind for kind in (pa.RecordBatch, pl.DataFrame, pd.DataFrame) for _ in ("learn", "run")]


@pytest.mark.parametrize("form", ["arrow", "polars", "pandas"])
@given(frame=frames(), data=st.data())
def test_every_type_and_cut_comes_back_as_it_was(form: str, frame: pl.DataFrame, data: st.DataObject) -> None:
    """What pandas cannot tell apart, an Enum from a Categorical, is held to the declared schema."""
    parts = data.draw(cuts(frame))
    out = run(MapFunction(lambda batch: batch, form, frame.schema), *parts)
    assert_frame_equal(pl.concat([batch.polars() for batch in out]), frame)
    target = arrow_schema(frame.schema)
    assert all(batch.arrow().schema.equals(target, check_metadata=True) for batch in out)


def test_pandas_gets_what_polars_exports_wrongly(monkeypatch: pytest.MonkeyPatch) -> None:
    """As Polars 1.35 does with some slices of nullable structs."""
    export, refused = pl.DataFrame.to_pandas, []

    def once_wrong(frame: pl.DataFrame, **options: Any) -> Any:
        if not refused:
            refused.append(frame)
            raise pa.ArrowInvalid("Struct child array #0 has length smaller than expected")
        return export(frame, **options)

    structs = pl.DataFrame({"x": [{"a": 1}, None, {"a": 3}]})
    monkeypatch.setattr(pl.DataFrame, "to_pandas", once_wrong)
    out = run(MapFunction(lambda frame: frame, "pandas", structs.schema), structs[1:])
    assert refused
    assert_frame_equal(pl.concat([batch.polars() for batch in out]), structs[1:])


@pytest.mark.parametrize(
    "back",
    [
        lambda frame: frame,
        lambda frame: frame.to_arrow(),
        lambda frame: frame.to_arrow().to_batches()[0],
        lambda frame: frame.to_pandas(),
        lambda frame: pa.concat_tables([frame[:1].to_arrow(), frame[1:].to_arrow()]),
    ],
)
def test_anything_arrow_like_may_be_returned(back: Any) -> None:
    step = MapFunction(back, "polars", FRAME.schema)
    (process, batch) = step.start(FRAME.schema, context()), Batch(FRAME, Position("here", 0, 4), 7)
    assert isinstance(process, Process)
    out = [part for part in process.process(batch) if isinstance(part, Batch)]
    assert rows(out) == FRAME.rows()
    assert {(part.position, part.ingest_ns) for part in out} == {(batch.position, 7)}


def test_integers_with_nulls_stay_integers_in_pandas() -> None:
    """NumPy's types would make floats of them, but only in the batches that have nulls."""
    big = pl.DataFrame({"x": [2**60 + 1, None]})
    assert rows(run(MapFunction(lambda df: df.assign(y=df.x + 1), "pandas"), big, big[:1])) == [
        (2**60 + 1, 2**60 + 2),
        (None, None),
        (2**60 + 1, 2**60 + 2),
    ]


def test_a_frame_changed_in_place_changes_for_nobody_else() -> None:
    mine = FRAME.clone()
    schema = pl.Schema({"one": pl.Int64, **FRAME.schema})

    def rude(frame: pl.DataFrame) -> pl.DataFrame:
        frame.insert_column(0, pl.lit(1).alias("one"))
        frame[0, "x"] = 99
        return frame

    assert rows(run(MapFunction(rude, "polars", schema), mine))[0] == (1, 99, "a")
    assert_frame_equal(mine, FRAME)

    def rude_pandas(frame: pd.DataFrame) -> pd.DataFrame:
        frame.loc[:, "x"] = 99
        return frame

    assert rows(run(MapFunction(rude_pandas, "pandas"), mine))[0] == (99, "a")
    assert_frame_equal(mine, FRAME)


class FakeCudf:
    """Stands for a frame of cuDF, which needs a GPU: only what is asked of it here."""

    def __init__(self, table: pa.Table) -> None:
        self.table = table

    @classmethod
    def from_arrow(cls, table: pa.Table) -> "FakeCudf":
        assert isinstance(table, pa.Table)
        return cls(table)

    def to_arrow(self, preserve_index: bool) -> pa.Table:
        assert not preserve_index
        return self.table


def test_cudf_comes_and_goes_by_arrow(monkeypatch: pytest.MonkeyPatch) -> None:
    library = ModuleType("cudf")
    library.DataFrame = FakeCudf  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "cudf", library)
    monkeypatch.setattr(FakeCudf, "__module__", "cudf.core.dataframe")

    def first(frame: Any) -> FakeCudf:
        assert isinstance(frame, FakeCudf)
        return FakeCudf(frame.table[:1])

    assert rows(run(MapFunction(first, "cudf"), FRAME)) == FRAME[:1].rows()


@pytest.mark.parametrize(
    ("library", "hint"), [("cudf", "pip install cudf-cu13"), ("pandas", "pip install pandas")]
)
def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch, library: str, hint: str) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    step = MapFunction(lambda frame: frame, library)
    with pytest.raises(MissingExtra, match=hint):
        step.output_schema(FRAME.schema)


# The schema


def test_the_schema_is_learnt_from_a_batch_without_rows_and_asked_for_once() -> None:
    asked: list[int] = []

    def counted(frame: pl.DataFrame) -> pl.DataFrame:
        asked.append(frame.height)
        return frame.select(y=pl.col("x").cast(pl.Float32))

    step = MapFunction(counted, "polars")
    assert step.output_schema(FRAME.schema) == {"y": pl.Float32}
    assert step.output_schema(FRAME.schema) == {"y": pl.Float32}
    assert rows(run(step, FRAME)) == [(1.0,), (2.0,), (3.0,), (4.0,)]
    assert asked == [0, 4]
    other = step.output_schema(pl.Schema({"x": pl.Int8}))
    assert (other, asked) == ({"y": pl.Float32}, [0, 4, 0])


def test_narrower_types_are_widened_and_columns_put_in_order() -> None:
    step = MapFunction(
        lambda batch: pl.DataFrame({"b": [1], "a": [None]}, {"b": pl.Int8, "a": pl.Null}),
        schema=pl.Schema({"a": pl.String, "b": pl.Int64}),
    )
    (out,) = run(step, FRAME)
    assert out.polars().schema == {"a": pl.String, "b": pl.Int64}
    assert rows([out]) == [(None, 1)]


def test_what_does_not_fit_is_an_error_with_what_was_expected_and_found() -> None:
    step = MapFunction(lambda frame: pl.DataFrame({"x": ["text"]}), schema={"x": pl.Int64})  # type: ignore[arg-type]
    with pytest.raises(SchemaError) as caught:
        run(step, FRAME)
    text = str(caught.value)
    assert "the function returned other columns or types than its schema says" in text
    assert "expected: x: Int64" in text
    assert "found: x: String instead of Int64" in text
    assert "schema={...}" in text
    with pytest.raises(SchemaError, match="the function returned no frame"):
        run(MapFunction(lambda frame: None, schema=FRAME.schema), FRAME)


def failing(frame: Any) -> Any:
    raise LookupError("first row\nof none")


def no_name(frame: Any) -> Any:
    raise LookupError


def panicking(frame: Any) -> Any:
    raise pl.exceptions.PanicException("at the disco")


@pytest.mark.parametrize(
    ("fn", "message"),
    [
        (failing, "failed on a batch without rows.*\n.*found: LookupError: first row\n.*hint: pass schema="),
        (no_name, "found: LookupError: no message"),
        (panicking, "found: PanicException: at the disco"),
        (lambda frame: pl.DataFrame({"x": [], "y": []}), "no type when there are no rows\n.*found: x, y\n"),
    ],
)
def test_a_schema_that_cannot_be_learnt_is_asked_for(fn: Any, message: str) -> None:
    with pytest.raises(PlanError, match=message):
        MapFunction(fn).output_schema(FRAME.schema)
    assert MapFunction(fn, schema=FRAME.schema).output_schema(FRAME.schema) == FRAME.schema


def test_an_interrupt_while_a_schema_is_learnt_is_handed_on() -> None:
    def interrupted(frame: Any) -> Any:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        MapFunction(interrupted).output_schema(FRAME.schema)


def test_a_column_without_a_type_may_pass() -> None:
    nothing = pl.Schema({"x": pl.Null})
    assert MapFunction(lambda frame: frame).output_schema(nothing) == nothing


@pytest.mark.parametrize("step", [FlatMap(lambda frame: []), FilterMap(lambda frame: None)])
def test_no_frame_for_a_batch_without_rows_teaches_nothing(step: FunctionStep) -> None:
    with pytest.raises(PlanError, match="returned no frame for a batch without rows") as error:
        step.output_schema(FRAME.schema)
    assert "a function without `return` returns None" in str(error.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fn": 3}, "needs a function\n.*expected: fn\\(batch\\)\n.*found: int 3"),
        ({"frame": "spark"}, "frame='arrow' or 'polars' or 'pandas' or 'cudf'\n.*found: 'spark'"),
        ({"schema": ["x"]}, "needs names and types"),
    ],
)
def test_a_mistake_is_found_where_it_is_written(options: dict[str, Any], message: str) -> None:
    with pytest.raises(PlanError, match=message):
        MapFunction(**{"fn": failing, **options})


def test_a_declared_type_must_have_an_arrow_form() -> None:
    with pytest.raises(SchemaError, match="Object"):
        MapFunction(failing, schema=pl.Schema({"x": pl.Object}))


# Async functions


async def tripled(frame: pl.DataFrame) -> pl.DataFrame:
    await asyncio.sleep(0)
    return frame.with_columns(pl.col("x") * 3)


class Tripling:
    async def __call__(self, frame: pl.DataFrame) -> pl.DataFrame:
        return await tripled(frame)


@pytest.mark.parametrize("fn", [tripled, Tripling(), partial(tripled)], ids=["def", "object", "partial"])
def test_async_functions_are_awaited(fn: Any) -> None:
    step = MapFunction(fn, "polars")
    assert isinstance(step.start(FRAME.schema, context()), AsyncProcess)
    assert rows(run(step, FRAME[:1], FRAME[1:2])) == [(3, "a"), (6, None)]


def test_the_schema_of_an_async_function_is_learnt_inside_a_running_loop_too() -> None:
    async def building() -> pl.Schema:
        return MapFunction(tripled, "polars").output_schema(FRAME.schema)

    assert asyncio.run(building()) == FRAME.schema


def test_an_async_function_that_never_returns_does_not_hang_the_build(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def waiting(frame: Any) -> Any:
        await asyncio.Event().wait()

    monkeypatch.setattr(function_schema, "LEARNING_S", 0.0)
    with pytest.raises(PlanError, match="found: TimeoutError"):
        MapFunction(waiting).output_schema(FRAME.schema)


def test_a_plain_function_that_gives_a_coroutine_is_told_what_to_write() -> None:
    step = MapFunction(lambda frame: tripled(frame), "polars")
    with pytest.raises(PlanError, match=r"found: coroutine\n.*async def"):
        step.output_schema(FRAME.schema)

    class Later:
        def __await__(self) -> Iterator[None]:
            yield

    with pytest.raises(PlanError, match="found: Later"):
        run(MapFunction(lambda frame: Later(), schema=FRAME.schema), FRAME)


# flat_map and filter_map


def one_by_one(frame: pl.DataFrame) -> Iterator[pl.DataFrame]:
    yield from frame.iter_slices(1)
    yield frame[:0]


async def one_by_one_async(frame: pl.DataFrame) -> AsyncIterator[pl.DataFrame]:
    for part in one_by_one(frame):
        await asyncio.sleep(0)
        yield part


async def listed(frame: pl.DataFrame) -> list[pl.DataFrame]:
    return list(one_by_one(frame))


@pytest.mark.parametrize("fn", [one_by_one, one_by_one_async, listed, lambda frame: list(one_by_one(frame))])
def test_flat_map_gives_all_frames_in_order(fn: Any) -> None:
    out = run(FlatMap(fn, "polars"), FRAME[:3], FRAME[3:])
    assert rows(out) == FRAME.rows()
    assert [batch.num_rows for batch in out] == [1, 1, 1, 0, 1, 0]


@pytest.mark.parametrize("form", ["arrow", "polars", "pandas"])
def test_flat_map_takes_one_frame_alone_for_what_it_is(form: str) -> None:
    assert rows(run(FlatMap(lambda frame: frame, form), FRAME)) == FRAME.rows()


@pytest.mark.parametrize("protocol", ["__arrow_c_stream__", "__arrow_c_array__"])
def test_what_gives_arrow_data_is_one_frame_even_if_it_can_be_iterated(protocol: str) -> None:
    record = pa.RecordBatch.from_pydict({"x": [1, 2]})
    methods = {
        protocol: lambda self, *rest: getattr(record, protocol)(*rest),
        "__iter__": lambda self: iter("ab"),
    }
    frame = type("Stranger", (), methods)()
    assert rows(run(FlatMap(lambda batch: frame, schema={"x": pl.Int64}), FRAME)) == [(1,), (2,)]


def test_flat_map_does_not_take_text_apart() -> None:
    with pytest.raises(SchemaError, match=r"found: str"):
        run(FlatMap(lambda frame: "ab", schema=FRAME.schema), FRAME)


async def if_long(frame: pl.DataFrame) -> pl.DataFrame | None:
    return frame if frame.height != 1 else None


@pytest.mark.parametrize("fn", [if_long, lambda frame: frame if frame.height != 1 else None])
def test_filter_map_drops_the_batch_for_none(fn: Any) -> None:
    assert rows(run(FilterMap(fn, "polars"), FRAME[:1], FRAME[1:3], FRAME[3:])) == FRAME[1:3].rows()


@given(frame=frames({"x": pl.Int32(), "y": pl.Int32()}), data=st.data())
def test_filter_map_with_expressions_is_filter_then_with_columns(
    frame: pl.DataFrame, data: st.DataObject
) -> None:
    parts = data.draw(cuts(frame))
    source = Source.from_frame(parts, schema=frame.schema)
    found = Pipeline.builder().source(source).filter_map(pl.col("x") > pl.col("y"), d=pl.col("x") // 2)
    expected = frame.filter(pl.col("x") > pl.col("y")).with_columns(d=pl.col("x") // 2)
    assert_frame_equal(found.collect_sync(), expected)


def test_one_name_four_meanings() -> None:
    assert mapping(pl.col("x") + 1).describe() == "with_columns(x + 1)"
    assert mapping(frame=pl.col("x")).describe() == "with_columns(frame = x)"
    assert mapping(failing, frame="polars").describe() == 'map(failing, frame="polars")'
    assert mapping(partial(failing)).describe() == "map(failing)"
    assert mapping(Tripling()).describe() == "map(Tripling)"
    assert mapping(lambda frame: frame).describe() == "map(<lambda>)"
    assert flat_mapping("items").describe() == "explode(items)"
    assert flat_mapping(pl.selectors.list()).describe().startswith("explode(")
    assert flat_mapping(one_by_one).describe() == "flat_map(one_by_one)"
    assert filter_mapping(pl.col("x") > 1).describe() == "filter(x > 1)"
    assert filter_mapping("flag", y=pl.col("x")).describe() == "filter_map(flag, y = x)"
    assert filter_mapping(failing).describe() == "filter_map(failing)"


def test_no_state() -> None:
    process = MapFunction(lambda frame: frame).start(FRAME.schema, context())
    assert isinstance(process, Process)
    assert list(process.finish()) == []
    assert list(process.snapshot()) == []
    process.restore(iter(()))


# Through pipelines


def test_through_a_pipeline() -> None:
    frame = pl.DataFrame({"x": range(6), "items": [[1, 2], [], [3], None, [4], [5, 6]]})
    steps = (
        Pipeline.builder()
        .source(Source.from_frame(list(frame.iter_slices(2))))
        .map(lambda df: df.with_columns(double=pl.col("x") * 2), frame="polars")
        .flat_map("items")
        .filter_map(pl.col("items") != 3, both=pl.col("items") + pl.col("double"))
        .flat_map(one_by_one, frame="polars")
        .map(tripled, frame="polars")
        .filter_map(lambda record: record if record["items"].to_pylist() != [4] else None)
    )
    kept = frame.explode("items").filter(pl.col("items").is_in([1, 2, 5, 6]))
    expected = kept.with_columns(double=pl.col("x") * 2).with_columns(both=pl.col("items") + pl.col("double"))
    assert_frame_equal(steps.collect_sync(), expected.with_columns(pl.col("x") * 3))


def test_an_error_names_the_stage_and_where_the_rows_are() -> None:
    def fussy(frame: pl.DataFrame) -> pl.DataFrame:
        if frame.height and frame["x"][0] > 2:
            raise ValueError("too big")
        return frame

    steps = (
        Pipeline.builder().source(Source.from_frame(list(FRAME.iter_slices(2)))).map(fussy, frame="polars")
    )
    with pytest.raises(StageError) as caught:
        steps.collect_sync()
    assert caught.value.stage == "map"
    assert caught.value.position == "frame rows 2-4"
    assert isinstance(caught.value.__cause__, ValueError)


def test_a_schema_error_is_found_when_built_and_names_the_stage() -> None:
    steps = Pipeline.builder().source(Source.from_frame(FRAME)).map(failing)
    with pytest.raises(PlanError, match=r"\(stage map\)"):
        steps.schema()


@pytest.mark.parametrize("step", ["map", "flat_map", "filter_map", "parallel_map"])
def test_a_result_without_an_arrow_form_is_refused_when_built(step: str) -> None:
    def widened(frame: pl.DataFrame) -> pl.DataFrame:
        return frame.with_columns(wide=pl.lit(1, pl.Int128))

    source = Pipeline.builder().source(Source.from_frame(FRAME))
    more = {"workers": 1} if step == "parallel_map" else {}
    with pytest.raises(SchemaError, match=rf"has no Arrow form \(stage {step}\)\n.*\n  found: wide: Int128"):
        getattr(source, step)(widened, frame="polars", **more).schema()
