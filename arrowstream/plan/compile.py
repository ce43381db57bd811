"""From the graph a user built to the plan that runs: check, fuse, push down, place.

All of it happens before data moves. A source that cannot tell its schema is compiled when its first
batch has come, by the same code.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from itertools import groupby

import polars as pl

from arrowstream.backends.base import Backend, Evaluator
from arrowstream.batch import Batch, arrow_schema
from arrowstream.errors import ArrowstreamError, PlanError
from arrowstream.io.base import Query, SinkSpec, SourceSpec
from arrowstream.operators.base import Expressions, Operator
from arrowstream.plan.graph import Graph, Step
from arrowstream.plan.locality import check
from arrowstream.plan.lowering import lower, required_columns
from arrowstream.plan.physical import OperatorStage, Plan, SegmentStage, Stage
from arrowstream.plan.placement import Placement
from arrowstream.plan.segment import Segment


def check_graph(graph: Graph, backends: Sequence[Backend]) -> tuple[SourceSpec, SinkSpec]:
    """What can be checked without a schema: both ends are there, and every pin names a backend that is.

    Raises
    ------
    PlanError
        An end is missing, or there is no such backend.
    """
    ends = _ends(graph)
    names = ["auto", *(backend.name for backend in backends)]
    for step in graph.steps:
        if step.backend not in names:
            close = get_close_matches(step.backend, names, 1)
            raise PlanError(
                f"there is no backend {step.backend!r} here",
                stage=step.operator.name,
                expected=" or ".join(repr(name) for name in names),
                found=repr(step.backend),
                hint=f"did you mean {close[0]!r}?"
                if close
                else "`arrowstream doctor` says which are installed",
            )
    return ends


def compile_plan(graph: Graph, schema: pl.Schema, backends: Sequence[Backend]) -> Plan:
    """The plan of `graph` for a source of `schema`.

    Raises
    ------
    PlanError, SchemaError
        A step, a pin or the sink does not fit; the error names the stage.
    """
    source, sink = _ends(graph)
    with _naming("source"):
        arrow_schema(schema)  # raises for types that no edge can carry
    runs = _fuse(graph, schema)
    query: Query | None = None
    absorbed: Segment | None = None
    if runs and isinstance(first := runs[0][1], Segment):
        pin = runs[0][2]
        if source.pushdown == "query" and pin in ("auto", "polars"):
            query, absorbed, schema, runs = first.apply_lazy, first, first.output, runs[1:]
        elif source.pushdown != "none" and (narrowed := _narrow(first)) is not None:
            query, schema = _choose(tuple(narrowed.schema)), narrowed.schema
            runs[0] = (runs[0][0], narrowed, pin)
    stages = tuple(
        _stage(name, part, pin, backends, into_arrow=sink.takes_arrow and number == len(runs))
        for number, (name, part, pin) in enumerate(runs, 1)
    )
    read = source.explain_read(query) if query is not None else ()
    plan = Plan(graph.name, source, sink, schema, query, absorbed, stages, read)
    with _naming("sink"):
        sink.check(plan.output)
    return plan


def _ends(graph: Graph) -> tuple[SourceSpec, SinkSpec]:
    if graph.source is None:
        raise PlanError("the pipeline has no source", hint="begin with Pipeline.builder().source(...)")
    if graph.sink is None:
        raise PlanError("the pipeline has no sink", hint="end with .sink(...), or use collect()")
    return graph.source, graph.sink


def output_schema(graph: Graph, schema: pl.Schema) -> pl.Schema:
    """The schema after the last step, each step checked on the way."""
    for number, step in enumerate(graph.steps, 1):
        schema = _check_step(number, step, schema)
    return schema


def _check_step(number: int, step: Step, schema: pl.Schema) -> pl.Schema:
    name = f"{number} {step.operator.name}"
    if isinstance(step.operator, Expressions):
        return check(step.operator, schema, name)
    with _naming(name):
        return step.operator.output_schema(schema)


_Run = tuple[str, Segment | OperatorStage, str]
"""A stage's name, what it does, and its backend pin."""


def _fuse(graph: Graph, schema: pl.Schema) -> list[_Run]:
    """Check every step and melt neighbours that are plain expressions with the same pin."""
    runs: list[_Run] = []
    numbered = enumerate(graph.steps, 1)
    # An opaque operator never melts: its own number keeps it apart from its neighbours.
    for _, group in groupby(
        numbered, lambda item: (item[0] if isinstance(item[1].operator, Operator) else 0, item[1].backend)
    ):
        members = list(group)
        before = schema
        for number, step in members:
            schema = _check_step(number, step, schema)
        first, last = members[0][0], members[-1][0]
        span = str(first) if first == last else f"{first}-{last}"
        operators = [step.operator for _, step in members]
        name = f"{span} {'+'.join(operator.name for operator in operators)}"
        if isinstance(operators[0], Operator):
            runs.append((name, OperatorStage(name, operators[0], before, schema), "auto"))
        else:
            steps = tuple(operator for operator in operators if isinstance(operator, Expressions))
            runs.append((name, Segment(steps, before, schema), members[0][1].backend))
    return runs


def _narrow(segment: Segment) -> Segment | None:
    """The segment over only those columns it needs, or None if it needs all."""
    needed = required_columns(segment.apply_lazy, segment.schema)
    if needed is None or not 0 < len(needed) < len(segment.schema):
        return None
    schema = pl.Schema({name: dtype for name, dtype in segment.schema.items() if name in needed})
    return Segment(segment.steps, schema, segment.output)


def _choose(columns: tuple[str, ...]) -> Query:
    return lambda frame: frame.select(columns)


def _stage(
    name: str, part: Segment | OperatorStage, pin: str, backends: Sequence[Backend], *, into_arrow: bool
) -> Stage:
    if isinstance(part, OperatorStage):
        return part
    program = lower(part)
    evaluators: dict[str, Evaluator] = {}
    refused: dict[str, str] = {}
    for backend in backends:
        prepared = backend.prepare(part, program)
        if callable(prepared):
            evaluators[backend.name] = _into_arrow(prepared) if into_arrow else prepared
        else:
            refused[backend.name] = str(prepared)
    if pin in refused:
        raise PlanError(
            f"the {pin} backend cannot run this step",
            stage=name,
            found=refused[pin],
            hint='take the pin away, or use backend("polars"), which runs every expression',
        )
    return SegmentStage(name, part, evaluators, Placement(tuple(evaluators), refused, pin))


def _into_arrow(evaluate: Evaluator) -> Evaluator:
    """With the rows' Arrow form made at once: that is part of what a backend that gives another one costs."""

    def evaluate_into_arrow(batch: Batch) -> Batch:
        result = evaluate(batch)
        result.arrow()
        return result

    return evaluate_into_arrow


@contextmanager
def _naming(stage: str) -> Iterator[None]:
    """Errors raised inside name `stage`, unless they name one already."""
    try:
        yield
    except ArrowstreamError as error:
        error.stage = error.stage or stage
        raise
