"""`explain()`: the plan as stable text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import polars as pl

from arrowstream.io.memory.function_sink import CollectSink
from arrowstream.io.sink import SinkSpec
from arrowstream.operators.with_event_time import Watermarks
from arrowstream.plan.composites.planned_table import planned_table
from arrowstream.plan.graph import Graph, Step
from arrowstream.plan.guarantee import guarantees
from arrowstream.plan.physical import (
    Input,
    InputsStage,
    Line,
    OperatorStage,
    Plan,
    SegmentStage,
    SinkBinding,
    Stage,
)
from arrowstream.plan.policies import Policies


def explain(graph: Graph, plan: Plan | None) -> str:
    """Return a pipeline as text, with its SQL, and what runs with checkpoints guarantee if it has sinks of its own.

    Parameters
    ----------
    graph
        The pipeline.
    plan
        Its plan; None while the schema of its source is not known.
    """
    text = _query(graph) + (explain_graph(graph) if plan is None else explain_plan(plan))
    if any(isinstance(sink, CollectSink) for sink in graph.sinks):
        return text
    first, *rest = guarantees(graph.sources, graph.sinks)
    return "\n".join([text, f"  with checkpoints: {first}", *_indented(rest, 4)])


def _query(graph: Graph) -> str:
    """Return the SQL that a pipeline comes from, as lines before its plan."""
    if graph.query is None:
        return ""
    return "\n".join(["query", *_indented(graph.query.strip("\n").split("\n"), 2), ""])


def explain_plan(plan: Plan) -> str:
    """Return a plan as text: stages with their steps, schemas, backends with the reason, the sinks' guarantees."""
    lines = [*_source(plan.input), *_stages(plan.stages, plan.input.source.marks_time), *_binding(plan.sink)]
    return "\n".join([f"pipeline {plan.name}", *_indented(lines, 2)])


def _line(line: Line, marked: bool, kind: str) -> Iterator[str]:
    """Describe a line inside a stage, or of its table; `marked` is True if watermarks may come in."""
    yield f"{kind} {line.name}"
    if line.input is not None:
        yield from _indented(_source(line.input), 2)
        marked = line.input.source.marks_time
    yield from _indented(_stages(line.stages, marked), 2)
    yield from _indented(_binding(line.sink), 2)


def _source(start: Input) -> Iterator[str]:
    yield f"source: {start.source.label}"
    if start.taken_over is not None:
        yield from _indented(start.source.explain_read(start.taken_over), 2)
    if start.absorbed is not None:
        yield "  runs inside the read, on polars:"
        for step in start.absorbed.steps:
            yield f"    {step.describe()}"
    if start.bad_rows is not None:
        yield f"  bad rows: {start.bad_rows.sink.label}"
    yield f"  -> {_columns(start.schema)}"


NEVER_LATE = "no watermark: no row is ever late; put with_event_time(...) before it"
"""The remark on a stage with a sink of late rows that gets none."""


def never_late(stage: SegmentStage | OperatorStage | InputsStage, marked: bool) -> bool:
    """Return whether a stage has a sink of late rows that gets none; `marked` is True if watermarks may come in."""
    return stage.policies.late is not None and not marked and not _takes_timeless(stage)


def _takes_timeless(stage: Stage) -> bool:
    """Return whether rows without an event time are late rows of a stage, whatever the watermark."""
    operator = stage.operator if isinstance(stage, OperatorStage | InputsStage) else None
    return getattr(operator, "null_times", None) == "late"


def _stages(stages: Sequence[Stage], marked: bool) -> Iterator[str]:
    """Describe stages; `marked` is True if watermarks may come in."""
    for stage in stages:
        yield f"stage {stage.name}"
        yield from _indented(stage.description, 4)
        for line in stage.lines:
            yield from _indented(_line(line, marked, "branch" if line.input is None else "input"), 2)
        if isinstance(stage, OperatorStage) and (table := planned_table(stage.operator)) is not None:
            assert table.line is not None, "its columns are those of this step"
            yield from _indented(_line(table.line, False, "table"), 2)
        if isinstance(stage, SegmentStage):
            yield from _indented(stage.placement.explain().splitlines(), 2)
        if isinstance(stage, SegmentStage | OperatorStage | InputsStage):
            if isinstance(stage, OperatorStage) and stage.operator.remark is not None:
                yield f"  {stage.operator.remark}"
            yield from policy_lines(stage.policies)
            if never_late(stage, marked):
                yield f"    {NEVER_LATE}"
        marked = marked or marks_time(stage)
        if stage.output is not None:
            yield f"  -> {_columns(stage.output)}"


def marks_time(stage: Stage) -> bool:
    """Return whether watermarks may come from this stage, or from a line inside it."""
    if isinstance(stage, OperatorStage) and isinstance(stage.operator, Watermarks):
        return True
    return any(
        (line.input is not None and line.input.source.marks_time) or any(map(marks_time, line.stages))
        for line in stage.lines
    )


def _binding(binding: SinkBinding | None) -> Iterator[str]:
    if binding is not None:
        name = binding.name.split("/")[-1]
        yield from _sink(name, binding.sink, binding.best_effort_capacity, binding.policies)


def _sink(name: str, sink: SinkSpec, capacity: int | None, policies: Policies) -> Iterator[str]:
    yield f"{name}: {sink.label}{'' if capacity is None else ', best effort'}"
    yield f"  guarantee: {guarantee(sink, capacity)}"
    yield from policy_lines(policies)


def guarantee(sink: SinkSpec, capacity: int | None) -> str:
    """Return what a reader of a sink can rely on; `capacity` is the queue capacity of a best-effort sink, or None."""
    if capacity is None:
        return sink.guarantee
    return f"best effort: misses batches when more than {capacity} wait"


def policy_lines(policies: Policies) -> Iterator[str]:
    """Yield lines on the time limit, the error handlers and the sink of late rows, where a step has them."""
    if policies.timeout_s is not None:
        then = "leave the batch out" if policies.skip_late_batches else "fail"
        yield f"  timeout: {policies.timeout_s:g} s, then {then}"
    if policies.handlers:
        yield f"  on error: {', then '.join(handler.describe() for handler in policies.handlers)}"
    if policies.late is not None:
        yield f"  late rows: {policies.late.label}"


def explain_graph(graph: Graph) -> str:
    """Return a complete graph as text, before its source's schema is known."""
    lines = [f"pipeline {graph.name}", *_indented(_graph(graph), 2)]
    return "\n".join(lines)


def _graph(graph: Graph) -> Iterator[str]:
    if graph.source is not None:
        yield f"source: {graph.source.label}"
        if graph.source.schema() is None:
            yield "  schema: learnt from the first batch, then checked"
    for id, step in zip(graph.ids, graph.steps, strict=True):
        yield from _step(id, step)
    for name, end, policies in graph.ends:
        yield from _sink(name, end.sink, end.best_effort_capacity, policies)


def _step(id: str, step: Step) -> Iterator[str]:
    pin = "" if step.backend == "auto" else f"  [backend {step.backend}]"
    yield f"step {id}: {step.operator.describe()}{pin}"
    yield from policy_lines(step.policies)
    for child in step.children:
        yield f"  {'branch' if child.graph.inner else 'input'} {child.name}"
        yield from _indented(_graph(child.graph), 4)
    if (table := planned_table(step.operator)) is not None:
        yield f"  table {table.graph.name}"
        yield from _indented(_graph(table.graph), 4)


def _indented(lines: Iterable[str], by: int) -> list[str]:
    return [f"{' ' * by}{line}" for line in lines]


def _columns(schema: pl.Schema) -> str:
    return ", ".join(f"{name}: {dtype}" for name, dtype in schema.items())
