"""From graph to plan: fusion, pins, pushdown, errors that name their stage."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from scripted import LedgerSink, ScriptedOperator, ScriptedProcess

from arrowstream import Builder, ErrorHandler, Pipeline, Settings, Sink, Source
from arrowstream.backends.registry import backends
from arrowstream.core.batch import Batch
from arrowstream.core.channel import channel
from arrowstream.core.snapshot_store import SourcePosition
from arrowstream.core.step_context import StepContext
from arrowstream.errors import PlanError, SchemaError
from arrowstream.io.sink import SinkSpec
from arrowstream.io.source import Query, Reader, SourceSpec
from arrowstream.plan.apply_settings import apply_settings
from arrowstream.plan.compile import compile_plan
from arrowstream.plan.physical import OperatorStage, Plan, SegmentStage
from arrowstream.policies.handlers import Retry
from arrowstream.testing import TestSink, TestSource

FRAME = pl.DataFrame({"a": [1, 2], "b": [0.5, None], "s": ["x", "y"]})


class PushSource(SourceSpec):
    """A source that can take over as much of the pipeline as a test wants."""

    def __init__(self, pushdown: Any) -> None:
        self._pushdown = pushdown
        self.query: Query | None = None

    @property
    def label(self) -> str:
        return "push"

    @property
    def pushdown(self) -> Any:
        return self._pushdown

    def schema(self) -> pl.Schema:
        return FRAME.schema

    def open(
        self, context: StepContext, query: Query | None = None, resume: SourcePosition | None = None
    ) -> Reader:
        self.query = query
        frame = FRAME if query is None else query(FRAME.lazy()).collect()
        return TestSource.from_frames([frame]).open(context)  # type: ignore[return-value]


def plan_of(builder: Builder) -> Plan:
    graph = builder.sink(TestSink()).graph
    assert graph.source is not None
    schema = graph.source.schema()
    assert schema is not None
    return compile_plan(graph, schema, backends())


def start(source: SourceSpec | None = None) -> Builder:
    return Pipeline.builder().source(source or TestSource.from_frames([FRAME]))


def test_neighbours_that_are_expressions_are_fused() -> None:
    builder = (
        start()
        .with_columns(c=pl.col("a") * 2)
        .filter(pl.col("c") > 2)
        .batch(rows=2)
        .select("a", "c")
        .drop("c")
    )
    names = [stage.name for stage in plan_of(builder).stages]
    assert names == ["with_columns+filter", "batch", "select+drop"]


def test_opaque_operators_are_never_fused() -> None:
    names = [stage.name for stage in plan_of(start().batch(rows=2).batch(rows=3)).stages]
    assert names == ["batch", "batch-f829"]


def test_a_pin_splits_a_segment_and_is_kept() -> None:
    builder = (
        start()
        .with_columns(c=pl.col("a") * 2)
        .backend("arrow")
        .filter(pl.col("c") > 2)
        .backend("polars")
        .select("c")
    )
    stages = plan_of(builder).stages
    assert [stage.name for stage in stages] == ["with_columns", "filter", "select"]
    chosen = [stage.placement.choose(10).backend for stage in stages if isinstance(stage, SegmentStage)]
    assert chosen[:2] == ["arrow", "polars"]


def test_schemas_are_on_every_edge() -> None:
    plan = plan_of(start().with_columns(c=pl.col("a") / 2).batch(rows=1).select("c"))
    assert plan.input.schema == FRAME.schema
    assert [stage.output for stage in plan.stages] == [
        {"a": pl.Int64, "b": pl.Float64, "s": pl.String, "c": pl.Float64},
        {"a": pl.Int64, "b": pl.Float64, "s": pl.String, "c": pl.Float64},
        {"c": pl.Float64},
    ]
    assert plan.output == {"c": pl.Float64}
    assert isinstance(plan.stages[1], OperatorStage)
    assert plan_of(start()).output == FRAME.schema


@pytest.mark.parametrize("pin", ["auto", "polars"])
def test_a_whole_segment_is_absorbed_by_a_source_that_can(pin: str) -> None:
    source = PushSource("query")
    builder = start(source).with_columns(c=pl.col("a") * 2).backend(pin).batch(rows=5)
    plan = plan_of(builder)
    assert [stage.name for stage in plan.stages] == ["batch"]
    assert plan.input.absorbed is not None
    assert plan.input.schema == {**FRAME.schema, "c": pl.Int64}
    assert builder.collect_sync()["c"].to_list() == [2, 4]
    assert source.query is not None


@pytest.mark.parametrize(("pushdown", "pin"), [("query", "arrow"), ("columns", "auto"), ("columns", "arrow")])
def test_otherwise_only_the_needed_columns_are_pushed(pushdown: str, pin: str) -> None:
    source = PushSource(pushdown)
    builder = start(source).filter(pl.col("b") > 0).backend(pin).select("a").backend(pin)
    plan = plan_of(builder)
    assert plan.input.absorbed is None
    assert plan.input.schema == {"a": pl.Int64, "b": pl.Float64}
    assert builder.collect_sync().to_dict(as_series=False) == {"a": [1]}
    assert source.query is not None
    assert source.query(FRAME.lazy()).collect().columns == ["a", "b"]
    assert "  source: push\n    -> a: Int64, b: Float64\n" in builder.sink(TestSink()).build().explain()


def test_a_segment_that_computes_with_its_own_constants_is_no_part_of_the_read(tmp_path: Path) -> None:
    """Polars divides by a constant column as by one value: a file's rows would tell how many it has."""
    values = [value / 7 for value in range(1, 40)]
    pl.DataFrame({"f": values, "g": values}).write_parquet(tmp_path / "many.parquet")
    for number, value in enumerate(values):
        pl.DataFrame({"f": [value], "g": [value]}).write_parquet(tmp_path / f"one-{number:02}.parquet")
    rows = []
    for name in ("many.parquet", "one-*.parquet"):
        builder = Pipeline.builder().source(Source.from_file(tmp_path / name))
        divided = builder.with_columns(k=pl.lit(3.0)).with_columns(z=pl.col("f") / pl.col("k")).select("z")
        assert "columns: 1 of 2 (f)" in divided.sink(TestSink()).build().explain()
        rows.append(divided.collect_sync())
    assert rows[0].equals(rows[1])


@pytest.mark.parametrize(
    ("pushdown", "build"),
    [
        ("none", lambda builder: builder.select("a")),
        ("columns", lambda builder: builder.with_columns(c=1 + pl.col("a"))),
        ("query", lambda builder: builder.batch(rows=1).select("a")),
        ("query", lambda builder: builder),
    ],
)
def test_nothing_is_pushed_where_nothing_can_be(pushdown: str, build: Any) -> None:
    plan = plan_of(build(start(PushSource(pushdown))))
    assert plan.input.query is None
    assert plan.input.schema == FRAME.schema


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Pipeline.builder().build(), "no source"),
        (lambda: Pipeline.builder().schema(), "no source"),
        (lambda: start().build(), "no sink"),
        (lambda: Pipeline.builder().select("a"), r"select\(\) before source"),
        (lambda: Pipeline.builder().sink(TestSink()), r"sink\(\) before source"),
        (lambda: start().sink(TestSink()).select("a"), r"select\(\) after sink"),
        (lambda: start().sink(TestSink()).sink(TestSink()), "one sink"),
        (lambda: start().source(TestSource.from_list([1])), "one source"),
        (lambda: Pipeline.builder().source(FRAME), "needs a source"),  # type: ignore[arg-type]
        (lambda: start().sink("out.parquet"), "needs a sink"),  # type: ignore[arg-type]
        (lambda: start().backend("arrow"), "no step of expressions before it"),
        (lambda: start().batch(rows=1).backend("arrow"), "found: batch"),
        (lambda: start().select("a").backend("arow").sink(TestSink()).build(), "did you mean 'arrow'"),
        (lambda: start().select("a").backend("spark").sink(TestSink()).build(), "arrowstream doctor"),
    ],
)
def test_what_cannot_be_built_is_refused_with_a_reason(make: Any, message: str) -> None:
    with pytest.raises(PlanError, match=message):
        make()


def test_a_pinned_backend_that_refuses_says_why() -> None:
    builder = start().select(pl.concat_list("a", "a")).backend("arrow").sink(TestSink())
    with pytest.raises(PlanError, match=r"(?s)the arrow backend cannot run this step \(stage select\)"):
        builder.build()


@pytest.mark.parametrize(
    "sink, made",
    [
        (Sink.to_fn(print), [False, True]),
        (Sink.to_channel(channel(1)[0]), [False, True]),
        (Sink.to_file("out.parquet"), [False, False]),
    ],
)
def test_what_a_sink_takes_is_made_by_the_last_stage(sink: SinkSpec, made: list[bool]) -> None:
    builder = start().with_columns(c=pl.col("a")).backend("polars").filter(pl.col("c") > 1).sink(sink)
    seen = []
    for stage in compile_plan(builder.graph, FRAME.schema, backends()).stages:
        assert isinstance(stage, SegmentStage)
        result = stage.evaluators["polars"](Batch(FRAME.with_columns(c="a") if seen else FRAME))
        seen.append(result.has("arrow"))
    assert seen == made


def test_errors_of_operators_and_sinks_name_their_stage() -> None:
    class Unfit(ScriptedOperator):
        def output_schema(self, schema: pl.Schema) -> pl.Schema:
            raise SchemaError("unfit")

    class Refusing(LedgerSink):
        def check(self, schema: pl.Schema) -> None:
            raise SchemaError("cannot hold this")

    graph = start().select("a").graph.with_step(Unfit("unfit", ScriptedProcess))
    with pytest.raises(SchemaError, match="stage unfit"):
        Builder(graph).sink(TestSink()).build()
    with pytest.raises(SchemaError, match="stage sink"):
        start().sink(Refusing(blocking=False)).build()


def test_settings_are_filled_in_everywhere() -> None:
    other = (
        start().select("a").on_error(ErrorHandler.retry()).sink(TestSink()).on_error(ErrorHandler.retry(1))
    )
    merged = start().merge(start().filter(pl.col("a") > 0).on_error(ErrorHandler.retry(delay="7s")))
    settings = Settings(max_retries=9, retry_delay_ms=250)
    alone, union = apply_settings(other.graph, settings), apply_settings(merged.graph, settings)
    (inner,) = union.steps[0].operator.others  # type: ignore[union-attr]
    found = [
        *alone.steps[0].policies.handlers,
        *alone.sink_policies.handlers,
        *inner.steps[0].policies.handlers,
    ]
    assert [(handler.times, handler.delay) for handler in found if isinstance(handler, Retry)] == [
        (9, 0.25),
        (1, 0.25),
        (9, 7.0),
    ]


def test_a_pin_is_of_the_step_before_it_whatever_came_first() -> None:
    plan = plan_of(start().batch(rows=2).select("a").backend("polars"))
    assert [stage.name for stage in plan.stages] == ["batch", "select"]
    with pytest.raises(PlanError, match="no step of expressions before it"):
        start().select("a").batch(rows=2).backend("polars")


def test_a_mistake_in_another_input_is_found_by_its_number() -> None:
    merged = start().merge(start().select("a", "b", "s"), start().drop("nope")).sink(TestSink())
    with pytest.raises(SchemaError) as caught:
        merged.build()
    assert caught.value.stage == "merge/pipeline.2/drop"
    merged = start().merge(start(), start().select("a")).sink(TestSink())
    with pytest.raises(SchemaError) as caught:
        merged.build()
    assert caught.value.stage == "merge"


def test_the_builder_is_immutable() -> None:
    first = start().select("a", "b")
    second = first.drop("b")
    assert first.collect_sync().columns == ["a", "b"]
    assert second.collect_sync().columns == ["a"]


def test_every_operator_has_its_method() -> None:
    frame = pl.DataFrame({"l": [[1, 2], [3]], "p": [{"q": 1}, {"q": 2}], "x": [1, 2]})
    builder = (
        Pipeline.builder(name="all")
        .source(Source.from_frame(frame))
        .map(y=pl.col("x") + 1)
        .explode("l")
        .unnest("p")
        .rename({"q": "z"})
        .cast({"z": pl.Int8})
        .drop("x")
        .filter(pl.col("l") > 1)
        .select("l", "z", "y")
    )
    expected = pl.DataFrame({"l": [2, 3], "z": [1, 2], "y": [2, 3]}, schema_overrides={"z": pl.Int8})
    assert builder.collect_sync().equals(expected)
    assert builder.schema() == expected.schema
    assert builder.preview(1).equals(expected[:1])
    assert start(TestSource.from_list([1]).undeclared()).schema() is None
    assert builder.sink(Sink.to_fn(print)).build().name == "all"
