"""From the graph a user built to the plan that runs: check, fuse, push down, place.

All of it happens before data moves. A source that cannot tell its schema is compiled when its first
batch has come, by the same code.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import polars as pl

from arrowstream.backends.base import Backend
from arrowstream.core.batch import arrow_schema
from arrowstream.core.hints import did_you_mean
from arrowstream.errors import PlanError
from arrowstream.io.source import SourceSpec
from arrowstream.operators.route import Router
from arrowstream.plan.checks.sink_conflicts import check_places
from arrowstream.plan.checks.split_schema import merged_schema, router_of, same_schema
from arrowstream.plan.fuse import Piece, fuse, naming
from arrowstream.plan.graph import Branch, Graph, Split, Step, Union
from arrowstream.plan.physical import (
    BranchPlan,
    Input,
    OperatorStage,
    Outlet,
    Plan,
    Route,
    SplitStage,
    Stage,
    UnionStage,
)
from arrowstream.plan.policies import Policies
from arrowstream.plan.pushdown import push_down
from arrowstream.plan.segment import Segment
from arrowstream.plan.segment_stage import segment_stage
from arrowstream.plan.step_ids import inner_prefix


def check_graph(graph: Graph, backends: Sequence[Backend]) -> SourceSpec:
    """What can be checked without a schema: both ends are there, and every pin names a backend that is.

    Raises
    ------
    PlanError
        An end is missing, or there is no such backend.
    """
    if graph.source is None:
        raise PlanError("the pipeline has no source", hint="begin with Pipeline.builder().source(...)")
    if graph.sink is None and not graph.ended:
        raise PlanError("the pipeline has no sink", hint="end with .sink(...), or use collect()")
    names = ["auto", *(backend.name for backend in backends)]
    for step in _all_steps(graph):
        if step.backend not in names:
            raise PlanError(
                f"there is no backend {step.backend!r} here",
                stage=step.operator.name,
                expected=" or ".join(repr(name) for name in names),
                found=repr(step.backend),
                hint=did_you_mean(step.backend, names) or "`arrowstream doctor` says which are installed",
            )
    return graph.source


def _all_steps(graph: Graph) -> Iterator[Step]:
    for step in graph.steps:
        yield step
        inner = step.operator
        if isinstance(inner, Split):
            for branch in inner.all:
                yield from _all_steps(branch.graph)
        elif isinstance(inner, Union):
            for other in inner.others:
                yield from _all_steps(other)


def compile_plan(graph: Graph, schema: pl.Schema, backends: Sequence[Backend]) -> Plan:
    """The plan of `graph` for a source of `schema`.

    Raises
    ------
    PlanError, SchemaError
        A step, a pin or a sink does not fit; the error names the stage.
    """
    start, stages, output = _Compiler(backends).line(graph, schema, "")
    outlet = _outlet("sink", graph, output)
    if outlet is not None and outlet.sink.parts:
        stages, outlet = (*stages, _fan_out(outlet, graph.part_policies)), None
    plan = Plan(graph.name, schema, start, stages, output, outlet)
    check_places(plan)
    return plan


def output_schema(graph: Graph, schema: pl.Schema) -> pl.Schema | None:
    """The schema after the last step, each step checked on the way; None if all rows leave before."""
    return _Compiler(()).schema_after(graph.steps, schema, "")


class _Compiler:
    """One compilation; `backends` are those that stages may run on."""

    def __init__(self, backends: Sequence[Backend]) -> None:
        self._backends = backends

    def line(
        self, graph: Graph, schema: pl.Schema, prefix: str
    ) -> tuple[Input, tuple[Stage, ...], pl.Schema | None]:
        """The source of a graph, the stages after it, and what comes out of them."""
        source = graph.source
        assert source is not None
        with naming(f"{prefix}source"):
            arrow_schema(schema)  # raises for types that no edge can carry
        pieces = fuse(graph.steps, schema, prefix, self.schema_of)
        start, pieces = push_down(source, schema, pieces)
        start = replace(start, name=f"{prefix}source")
        # What the sink takes in another form than it comes is part of what the last stage costs.
        into_arrow = graph.sink is not None and graph.sink.takes_arrow
        stages = tuple(
            self._stage(piece, into_arrow and number == len(pieces)) for number, piece in enumerate(pieces, 1)
        )
        return start, stages, stages[-1].output if stages else start.schema

    def schema_after(self, steps: Sequence[Step], schema: pl.Schema, prefix: str) -> pl.Schema | None:
        """What comes out of these steps."""
        pieces = fuse(steps, schema, prefix, self.schema_of)
        return pieces[-1].output if pieces else schema

    def schema_of(self, name: str, composite: Split | Union, schema: pl.Schema) -> pl.Schema | None:
        """What comes out of a split or a union for rows of `schema`."""
        if isinstance(composite, Union):
            for inner, other in zip(composite.input_names, composite.others, strict=True):
                found = self._other(name, inner, other)[2]
                same_schema(name, f"the rows of {other.name!r}", found, schema)
            return schema
        router_of(name, composite, schema)
        outputs = {
            branch.name: self.schema_after(branch.graph.steps, schema, inner_prefix(name, branch.name))
            for branch in composite.all
            if branch.goes_on
        }
        return merged_schema(name, outputs)

    def _stage(self, piece: Piece, into_arrow: bool = False) -> Stage:
        part = piece.part
        if isinstance(part, Segment):
            return segment_stage(piece, part, self._backends, into_arrow=into_arrow)
        if isinstance(part, Split):
            return self._split(piece, part)
        if isinstance(part, Union):
            inputs = [
                self._other(piece.name, inner, other)
                for inner, other in zip(part.input_names, part.others, strict=True)
            ]
            return UnionStage(
                piece.name,
                part.describe(),
                tuple((start, stages) for start, stages, _ in inputs),
                piece.schema,
            )
        assert piece.output is not None
        return OperatorStage(piece.name, part, piece.schema, piece.output, piece.policies)

    def _split(self, piece: Piece, split: Split) -> SplitStage:
        router = router_of(piece.name, split, piece.schema)
        branches = tuple(self._branch(piece, branch) for branch in split.all)
        return SplitStage(piece.name, split.describe(), self._route(piece, router), branches, piece.output)

    def _route(self, piece: Piece, router: Router) -> Route:
        names = Segment((router,), piece.schema, router.apply(pl.DataFrame(schema=piece.schema)).schema)
        # Not the selector over the frame itself: backends compute a single row as among others.
        stage = segment_stage(
            Piece(piece.name, names, names.schema, names.output, "polars"), names, self._backends
        )
        evaluate = stage.evaluators["polars"]
        return lambda batch: router.route(batch, evaluate(batch))

    def _branch(self, piece: Piece, branch: Branch) -> BranchPlan:
        prefix = inner_prefix(piece.name, branch.name)
        pieces = fuse(branch.graph.steps, piece.schema, prefix, self.schema_of)
        stages = tuple(self._stage(part) for part in pieces)
        output = stages[-1].output if stages else piece.schema
        outlet = _outlet(f"{prefix}sink", branch.graph, output)
        if outlet is not None and outlet.sink.parts:
            stages, outlet = (*stages, _fan_out(outlet, branch.graph.part_policies)), None
        return BranchPlan(branch.name, stages, output, outlet, not branch.goes_on)

    def _other(
        self, name: str, inner: str, other: Graph
    ) -> tuple[Input, tuple[Stage, ...], pl.Schema | None]:
        assert other.source is not None
        schema = other.source.schema()
        if schema is None:
            raise PlanError(
                f"the columns of {other.name!r} are not known before it runs",
                stage=name,
                expected="a source that declares its schema",
                hint="give its source a schema=",
            )
        return self.line(other, schema, inner_prefix(name, inner))


def _outlet(name: str, graph: Graph, schema: pl.Schema | None) -> Outlet | None:
    if graph.sink is None:
        return None
    assert schema is not None
    with naming(name):
        graph.sink.check(schema)
        for policies in (graph.sink_policies, *graph.part_policies):
            policies.check(schema)
    return Outlet(name, graph.sink, schema, graph.sink_policies)


def _fan_out(outlet: Outlet, own: Sequence[Policies]) -> SplitStage:
    """A split in which every batch takes all branches, each of them a sink, with its `own` handlers if it has any."""
    branches = tuple(
        BranchPlan(
            str(number),
            (),
            outlet.schema,
            Outlet(f"{outlet.name} {number}", part, outlet.schema, outlet.policies.overridden(policies)),
            True,
        )
        for number, (part, policies) in enumerate(zip(outlet.sink.parts, own, strict=True), 1)
    )
    return SplitStage(outlet.name, f"fan-out to {len(branches)} sinks", None, branches, None)
