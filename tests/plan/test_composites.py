"""Steps with graphs inside: compiled once, walked and explained by one protocol."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import polars as pl
import pytest

from arrowstream import Builder, ErrorHandler, Pipeline, Settings, Sink, Source
from arrowstream.backends.registry import backends
from arrowstream.core.step_context import StepContext
from arrowstream.errors import PlanError, SchemaError
from arrowstream.io.sink import SinkSpec
from arrowstream.operators.base import MultiInputOperator, MultiInputProcess
from arrowstream.plan import fuse
from arrowstream.plan.compile import compile_plan
from arrowstream.plan.composites.merge import Merge
from arrowstream.plan.composites.multi_input import MultiInput
from arrowstream.plan.composites.split import Split
from arrowstream.plan.graph import Child, Composite, Graph, LineCompiler
from arrowstream.plan.physical import InputsStage, Line, SplitStage
from arrowstream.testing import TestSink

FRAME = pl.DataFrame({"x": [1, 2, 3], "k": ["a", "b", "a"]})
LEVELS = range(1, 8)


def rows(name: str = "pipeline") -> Builder:
    return Pipeline.builder(name).source(Source.from_frame(FRAME)).filter(pl.col("x") > 0)


def merges(levels: int) -> Builder:
    """a.merge(b.merge(c...)): `levels` + 1 inputs of one filter each."""
    return rows() if levels == 0 else rows().merge(merges(levels - 1))


def branches(levels: int) -> Callable[[Builder], Builder]:
    def inside(part: Builder) -> Builder:
        part = part.filter(pl.col("x") > 0)
        return part if levels == 0 else part.split("k").branch("a", branches(levels - 1)).otherwise().merge()

    return inside


def splits(levels: int) -> Builder:
    """A filter and a split in every branch ``a``, `levels` deep."""
    return branches(levels)(Pipeline.builder().source(Source.from_frame(FRAME)))


@pytest.mark.parametrize("nested", [merges, splits])
def test_each_graph_is_checked_once(
    nested: Callable[[int], Builder], monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[str] = []
    check = fuse.check

    def counting(step: object, schema: pl.Schema, stage: str) -> pl.Schema:
        checked.append(stage)
        return check(step, schema, stage)  # type: ignore[arg-type]

    monkeypatch.setattr(fuse, "check", counting)
    found = []
    for levels in LEVELS:
        checked.clear()
        compile_plan(nested(levels).sink(TestSink()).graph, FRAME.schema, backends())
        assert len(set(checked)) == len(checked)
        found.append(len(checked))
    assert found == [levels + 1 for levels in LEVELS]


@pytest.mark.parametrize("nested", [merges, splits])
def test_what_is_nested_comes_out_whole(nested: Callable[[int], Builder]) -> None:
    inputs = 4 if nested is merges else 1
    out = nested(3).collect_sync()
    assert out.sort("x").equals(pl.concat([FRAME] * inputs).sort("x"))


def test_a_walk_gives_every_step_under_its_id() -> None:
    split = (
        rows()
        .split("k")
        .branch("a", lambda part: part.batch(2))
        .otherwise(lambda part: part.sink(TestSink()))
    )
    graph = split.merge().merge(rows("other").merge(rows())).sink(TestSink()).graph
    assert [id for id, _ in graph.walk()] == [
        "filter",
        "split",
        "split/a/batch",
        "merge",
        "merge/other/filter",
        "merge/other/merge",
        "merge/other/merge/pipeline/filter",
    ]
    assert len(graph.sources) == 3
    assert len(graph.sinks) == 2


def test_children_are_replaced_in_order() -> None:
    split = rows().split("k").branch("a").branch("b", lambda part: part.batch(2)).otherwise().merge()
    merge = rows().merge(rows("one"), rows("two"))
    for builder, kind in ((split, Split), (merge, Merge)):
        step = builder.graph.steps[-1].operator
        assert isinstance(step, kind)
        graphs = [child.graph for child in step.children][::-1]
        other = step.with_children(graphs)
        assert [child.graph for child in other.children] == graphs
        assert other.with_children(graphs[::-1]).children == step.children


INPUTS = """\
  stage merge
      merge(one, two)
    input one
      source: frame
        -> x: Int64, k: String
      stage merge/one/filter
          filter(x > 0)
        backend: auto: arrow below ~45,000 rows, polars above
        -> x: Int64, k: String
    input two
      source: frame
        -> x: Int64, k: String
      stage merge/two/split
          split(k)
        branch a
          stage merge/two/split/a/batch
              batch(rows=2)
            -> x: Int64, k: String
        branch b
        -> x: Int64, k: String
    -> x: Int64, k: String
"""


def test_explain_shows_what_is_inside() -> None:
    two = Pipeline.builder("two").source(Source.from_frame(FRAME)).split("k")
    two_split = two.branch("a", lambda part: part.batch(2)).branch("b").merge()
    text = Pipeline.builder().source(Source.from_frame(FRAME)).merge(rows("one"), two_split).explain()
    assert INPUTS in text


class Beside(MultiInputOperator):
    """The columns of both inputs, in a plan that is never run."""

    name: ClassVar[str] = "beside"

    def output_schema(self, *schemas: pl.Schema) -> pl.Schema:
        left, right = schemas
        if set(left) & set(right):
            raise SchemaError("both inputs have the same column")
        return pl.Schema({**left, **right})

    def start(self, schemas: Sequence[pl.Schema], context: StepContext) -> MultiInputProcess:
        raise AssertionError("not run here")

    def describe(self) -> str:
        return "beside()"


def beside(*others: Builder) -> Builder:
    step = MultiInput.of(Beside(), [other.graph for other in others])
    return Builder(rows().graph.with_step(step))


def test_an_operator_with_two_inputs_is_one_more_composite() -> None:
    builder = beside(rows("other").select(y="x")).drop("k")
    assert builder.graph.ids == ("filter", "beside", "drop")
    assert builder.schema() == {"x": pl.Int64, "y": pl.Int64}
    stage = compile_plan(builder.sink(TestSink()).graph, FRAME.schema, backends()).stages[1]
    assert isinstance(stage, InputsStage)
    assert isinstance(stage.operator, Beside)
    assert stage.schemas == (FRAME.schema, {"y": pl.Int64})
    text = builder.named("last").explain()
    assert "  stage beside\n      beside()\n    input other\n      source: frame\n" in text
    assert "      stage beside/other/filter+select\n" in text


def test_what_does_not_fit_an_operator_with_two_inputs_names_it() -> None:
    with pytest.raises(SchemaError, match="the same column") as caught:
        beside(rows()).schema()
    assert caught.value.stage == "beside"
    for others, found in (([], "no other input"), ([rows(), rows()], "found: 3")):
        with pytest.raises(PlanError, match=found):
            beside(*others)


@dataclass(frozen=True, slots=True)
class Tap(Composite):
    """Every row goes on, and also through a graph that ends in a sink: all that a further composite needs."""

    name: ClassVar[str] = "tap"
    aside: Graph

    @property
    def children(self) -> tuple[Child, ...]:
        return (Child("aside", self.aside),)

    def with_children(self, graphs: Sequence[Graph]) -> "Tap":
        (aside,) = graphs
        return Tap(aside)

    def describe(self) -> str:
        return "tap()"

    def compile(self, compiler: LineCompiler, name: str, schema: pl.Schema) -> SplitStage:
        (child,) = self.children
        lines = (compiler.branch(name, child, schema), Line("on", None, (), schema))
        return SplitStage(name, self.describe(), None, lines, schema)


def tapped(sink: SinkSpec) -> Builder:
    aside = Builder(Graph("aside", inner=True)).filter(pl.col("x") > 1).on_error(ErrorHandler.retry())
    return Builder(rows().graph.with_step(Tap(aside.sink(sink).graph)))


def test_a_further_composite_is_one_class() -> None:
    sink, main = TestSink(), TestSink()
    pipeline = tapped(sink).drop("k").sink(main).build(settings=Settings(max_retries=7))
    report = pipeline.run_sync()
    assert main.received() == [1, 2, 3]
    assert sink.frame().equals(FRAME.filter(pl.col("x") > 1))
    assert {stage.name for stage in report.stages} >= {"tap/aside/filter", "tap/aside/sink", "drop", "sink"}
    text = pipeline.explain()
    assert "  stage tap\n      tap()\n    branch aside\n      stage tap/aside/filter\n" in text
    assert "retry(7" in text


def test_what_is_inside_a_further_composite_is_checked(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="two sinks write to the same place") as caught:
        tapped(Sink.to_file(tmp_path / "a.csv")).sink(Sink.to_file(tmp_path / "a.csv")).build()
    assert caught.value.found is not None and "tap/aside/sink" in caught.value.found
    tap = Tap(Builder(Graph("aside", inner=True)).drop("nope").sink(TestSink()).graph)
    with pytest.raises(SchemaError) as named:
        Builder(rows().graph.with_step(tap)).schema()
    assert named.value.stage == "tap/aside/drop"
