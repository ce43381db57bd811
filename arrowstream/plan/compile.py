"""From the graph a user built to the plan that runs: check, fuse, push down, prepare backends.

All of it happens before data moves, in one pass: every graph inside another is compiled once. If the source does not
know its schema, the graph is compiled when the first batch has come, by the same code.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import wraps
from typing import ParamSpec, TypeVar

import polars as pl

from arrowstream.backends.base import Backend
from arrowstream.core.hints import did_you_mean
from arrowstream.core.plural import counted
from arrowstream.core.rows.arrow_schema import arrow_schema
from arrowstream.errors import PlanError, SchemaError
from arrowstream.gpu.presence import missing
from arrowstream.io.sink import BoundSink, Fanout
from arrowstream.io.source import BAD_ROWS, SourceSpec
from arrowstream.operators.base import Operator
from arrowstream.plan.checks.rows_that_leave import check_rows_that_come_again, check_rows_that_leave
from arrowstream.plan.checks.sink_conflicts import check_sinks
from arrowstream.plan.fuse import StageDraft, fuse, naming
from arrowstream.plan.graph import Child, Graph
from arrowstream.plan.physical import (
    Input,
    InputsStage,
    Line,
    OperatorStage,
    Plan,
    SinkBinding,
    SplitStage,
    Stage,
)
from arrowstream.plan.placement.residence import lay_out
from arrowstream.plan.policies import Policies
from arrowstream.plan.pushdown import push_down
from arrowstream.plan.segment import Segment
from arrowstream.plan.segment_stage import general, segment_stage
from arrowstream.plan.step_ids import Prefix

P = ParamSpec("P")
Built = TypeVar("Built")


def check_graph(graph: Graph, backends: Sequence[Backend]) -> SourceSpec:
    """Check, without a schema, that the source and a sink are set and every pin names a known backend.

    Raises
    ------
    PlanError
        The source or the sink is missing, or a pin is unknown.
    """
    if graph.source is None:
        raise PlanError("the pipeline has no source", hint="begin with Pipeline.builder().source(...)")
    if graph.has_output:
        raise PlanError(
            "the pipeline has no sink",
            hint="end with .sink(...), or use .collect_sync(), in async code await .collect()",
        )
    _check_pins(graph, backends)
    return graph.source


def _check_pins(graph: Graph, backends: Sequence[Backend]) -> None:
    names = ["auto", *(backend.name for backend in backends)]
    for id, step in graph.walk():
        if step.backend not in names:
            reason = missing() if step.backend == "gpu" else None
            raise PlanError(
                f"unknown backend {step.backend!r}"
                if reason is None
                else "the backend 'gpu' is not ready here",
                stage=id,
                expected=" or ".join(repr(name) for name in names),
                found=repr(step.backend),
                hint=reason
                or did_you_mean(str(step.backend), names)
                or "`arrowstream doctor` lists the installed ones",
            )


def _brief(compiled: Callable[P, Built]) -> Callable[P, Built]:
    """Return the function with errors that lack the frames below it: the message names the step."""

    @wraps(compiled)
    def brief(*args: P.args, **options: P.kwargs) -> Built:
        try:
            return compiled(*args, **options)
        except (PlanError, SchemaError) as error:
            raise error.with_traceback(None) from error.__cause__

    return brief


@_brief
def compile_plan(graph: Graph, schema: pl.Schema, backends: Sequence[Backend]) -> Plan:
    """Return the plan of `graph` for a source of `schema`.

    Parameters
    ----------
    backends
        The backends that segments may run on.

    Raises
    ------
    PlanError, SchemaError
        A step, a pin or a sink does not fit; the error names the stage.
    """
    line = _Compiler(backends).from_source(graph.name, graph, schema, Prefix())
    assert line.input is not None
    plan = Plan(graph.name, schema, line.input, line.stages, line.output, line.sink)
    check_sinks(plan)
    check_rows_that_leave(plan)
    check_rows_that_come_again(plan)
    return plan


@_brief
def compile_line(graph: Graph, schema: pl.Schema, backends: Sequence[Backend]) -> Line:
    """Check every step of a graph, which needs no sink yet, and return its stages.

    Parameters
    ----------
    schema
        The schema of its source.
    backends
        The backends that segments may run on.

    Raises
    ------
    PlanError, SchemaError
        A step or a pin does not fit; the error names the stage.
    """
    _check_pins(graph, backends)
    return _Compiler(backends).from_source(graph.name, graph, schema, Prefix())


class _Compiler:
    """One compilation of the plan, or of what is inside the composite step that saves state under `state_id`.

    `backends` are those that stages may run on.
    """

    def __init__(self, backends: Sequence[Backend], state_id: str = "") -> None:
        self.backends = backends
        self.state_id = state_id

    def inside(self, state_id: str) -> _Compiler:
        """Return the compiler for the composite whose state id this is."""
        return _Compiler(self.backends, state_id)

    def from_source(self, name: str, graph: Graph, schema: pl.Schema, prefix: Prefix) -> Line:
        """Compile a graph whose source has rows of `schema`; the ids of its steps begin with `prefix`."""
        assert graph.source is not None
        with naming(f"{prefix.name}source"):
            arrow_schema(schema)  # raises for types that Arrow cannot carry between stages
        start, drafts = push_down(
            graph.source, schema, fuse(graph.steps, schema, prefix, self), general(self.backends)
        )
        id = f"{prefix.name}source"
        begun = replace(
            start, name=id, state_id=f"{prefix.state}source", bad_rows=_bad_rows(id, graph.source)
        )
        return self._line(name, graph, begun, start.schema, drafts, prefix.name)

    def branch(self, stage: str, child: Child, schema: pl.Schema) -> Line:
        """Compile a branch of `stage`, for rows of `schema`."""
        prefix = Prefix.inside(stage, self.state_id, child.name)
        drafts = fuse(child.graph.steps, schema, prefix, self)
        return self._line(child.name, child.graph, None, schema, drafts, prefix.name)

    def input(self, stage: str, child: Child) -> Line:
        """Compile another input of `stage`, from its source on."""
        assert child.graph.source is not None
        schema = child.graph.source.schema()
        if schema is None:
            raise PlanError(
                f"the columns of {child.graph.name!r} are unknown before it runs",
                stage=stage,
                expected="a source that declares its schema",
                hint="give its source a schema=",
            )
        return self.from_source(
            child.name, child.graph, schema, Prefix.inside(stage, self.state_id, child.name)
        )

    def _line(
        self,
        name: str,
        graph: Graph,
        start: Input | None,
        schema: pl.Schema,
        drafts: Sequence[StageDraft],
        prefix: str,
    ) -> Line:
        # A conversion to the form that the sink takes is part of the last stage's cost.
        into_arrow = isinstance(graph.sink, BoundSink) and graph.sink.sink.takes_arrow
        stages = tuple(self._stage(draft, into_arrow and draft is drafts[-1]) for draft in drafts)
        stages = lay_out(stages)
        output = stages[-1].output if stages else schema
        if graph.sink is None:
            return Line(name, start, stages, output)
        assert output is not None
        bindings = [_binding(f"{prefix}{id}", end, output, policies) for id, end, policies in graph.ends]
        sink = bindings[0]
        # A best-effort sink needs a queue before it, which only a branch has.
        if isinstance(graph.sink, Fanout) or (start is not None and sink.best_effort_capacity is not None):
            return Line(name, start, (*stages, _fan_out(f"{prefix}sink", bindings)), None)
        return Line(name, start, stages, output, sink)

    def _stage(self, draft: StageDraft, into_arrow: bool) -> Stage:
        work = draft.work
        if isinstance(work, Segment):
            return segment_stage(
                draft.name,
                work,
                self.backends,
                pin=draft.pin,
                policies=draft.policies,
                into_arrow=into_arrow,
            )
        if isinstance(work, Operator):
            assert draft.output is not None
            return OperatorStage(draft.name, draft.state_id, work, draft.schema, draft.output, draft.policies)
        return replace(work, policies=draft.policies) if isinstance(work, InputsStage) else work


def _binding(id: str, end: BoundSink, schema: pl.Schema, policies: Policies) -> SinkBinding:
    with naming(id):
        end.sink.check(schema)
        policies.check(schema)
    return SinkBinding(id, end.sink, schema, policies, end.best_effort_capacity)


def _bad_rows(id: str, source: SourceSpec) -> SinkBinding | None:
    """Return the sink of rows that a source cannot read, or None."""
    if source.bad_rows_sink is None:
        return None
    with naming(id):
        source.bad_rows_sink.check(BAD_ROWS)
    return SinkBinding(f"bad rows of {id}", source.bad_rows_sink, BAD_ROWS)


def _fan_out(id: str, bindings: Sequence[SinkBinding]) -> SplitStage:
    """Return a split in which every batch takes all branches; each branch is one sink."""
    branches = tuple(
        Line(str(number), None, (), binding.schema, binding) for number, binding in enumerate(bindings, 1)
    )
    many = counted(len(bindings), "sinks")
    return SplitStage(id, f"fan-out to {many}", None, branches, None)
