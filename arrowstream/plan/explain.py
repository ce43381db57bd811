"""`explain()`: the plan as stable text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import polars as pl

from arrowstream.operators.with_event_time import Watermarks
from arrowstream.plan.graph import Graph, Split, Step, Union
from arrowstream.plan.physical import Input, Outlet, Plan, SegmentStage, SplitStage, Stage, UnionStage
from arrowstream.plan.policies import Policies


def explain_plan(plan: Plan) -> str:
    """Stages, what was fused, the schema on every edge, backends with the reason, the sinks' guarantees."""
    lines = [
        f"pipeline {plan.name}",
        *_input(plan.input),
        *_stages(plan.stages, plan.input.source.marks_time),
    ]
    if plan.outlet is not None:
        lines += _outlet(plan.outlet)
    return "\n".join([lines[0], *_indented(lines[1:], 2)])


def _input(start: Input) -> Iterator[str]:
    yield f"source: {start.source.label}"
    yield from _indented(start.read, 2)
    if start.absorbed is not None:
        yield "  runs inside the read, on polars:"
        for step in start.absorbed.steps:
            yield f"    {step.describe()}"
    yield f"  -> {_columns(start.schema)}"


def _stages(stages: Sequence[Stage], marked: bool) -> Iterator[str]:
    """The lines of stages; `marked` if watermarks may come in."""
    for stage in stages:
        yield f"stage {stage.name}"
        if isinstance(stage, SegmentStage):
            for step in stage.segment.steps:
                yield f"    {step.describe()}"
            yield from _indented(stage.placement.explain().splitlines(), 2)
            yield from _policies(stage.policies)
        elif isinstance(stage, SplitStage):
            yield f"    {stage.describe}"
            for branch in stage.branches:
                yield f"  branch {branch.name}"
                yield from _indented(_stages(branch.stages, marked), 4)
                if branch.outlet is not None:
                    yield from _indented(_outlet(branch.outlet), 4)
        elif isinstance(stage, UnionStage):
            yield f"    {stage.describe}"
            for start, steps in stage.inputs:
                yield from _indented(_input(start), 4)
                yield from _indented(_stages(steps, start.source.marks_time), 4)
        else:
            yield f"    {stage.operator.describe()}"
            yield from _policies(stage.policies)
            if stage.policies.late is not None and not marked:
                yield "    no watermark: no row is ever late; put with_event_time(...) before it"
        marked = marked or _marks_time(stage)
        if stage.output is not None:
            yield f"  -> {_columns(stage.output)}"


def _marks_time(stage: Stage) -> bool:
    """Whether watermarks may come from this stage itself, or from what it has inside."""
    if isinstance(stage, SplitStage):
        return any(map(_marks_time, (inner for branch in stage.branches for inner in branch.stages)))
    if isinstance(stage, UnionStage):
        return any(start.source.marks_time or any(map(_marks_time, steps)) for start, steps in stage.inputs)
    return not isinstance(stage, SegmentStage) and isinstance(stage.operator, Watermarks)


def _outlet(outlet: Outlet) -> Iterator[str]:
    yield f"{outlet.name.split('/')[-1]}: {outlet.sink.label}"
    yield f"  guarantee: {outlet.sink.guarantee}"
    yield from _policies(outlet.policies)


def _policies(policies: Policies) -> Iterator[str]:
    if policies.timeout_s is not None:
        then = "leave the batch out" if policies.skip_late_batches else "fail"
        yield f"  timeout: {policies.timeout_s:g} s, then {then}"
    if policies.handlers:
        yield f"  on error: {', then '.join(handler.describe() for handler in policies.handlers)}"
    if policies.late is not None:
        yield f"  late rows: {policies.late.label}"


def explain_graph(graph: Graph) -> str:
    """What can be said of a complete graph before its source's schema is known."""
    lines = [f"pipeline {graph.name}", *_indented(_graph(graph), 2)]
    return "\n".join(lines)


def _graph(graph: Graph) -> Iterator[str]:
    if graph.source is not None:
        yield f"source: {graph.source.label}"
        if graph.source.schema() is None:
            yield "  schema: learnt from the first batch, then checked"
    for id, step in zip(graph.ids, graph.steps, strict=True):
        yield from _step(id, step)
    if graph.sink is not None:
        yield f"sink: {graph.sink.label}"
        yield f"  guarantee: {graph.sink.guarantee}"
        yield from _policies(graph.sink_policies)


def _step(id: str, step: Step) -> Iterator[str]:
    pin = "" if step.backend == "auto" else f"  [backend {step.backend}]"
    yield f"step {id}: {step.operator.describe()}{pin}"
    yield from _policies(step.policies)
    if isinstance(step.operator, Split):
        for branch in step.operator.all:
            yield f"  branch {branch.name}"
            yield from _indented(_graph(branch.graph), 4)
    elif isinstance(step.operator, Union):
        for other in step.operator.others:
            yield from _indented(_graph(other), 4)


def _indented(lines: Sequence[str] | Iterator[str], by: int) -> list[str]:
    return [f"{' ' * by}{line}" for line in lines]


def _columns(schema: pl.Schema) -> str:
    return ", ".join(f"{name}: {dtype}" for name, dtype in schema.items())
