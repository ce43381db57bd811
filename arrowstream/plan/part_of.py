"""Parts of a graph that can be looked at: its beginning up to one step, without sinks that show rows elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import polars as pl

from arrowstream.core.hints import did_you_mean
from arrowstream.errors import PlanError
from arrowstream.io.memory.function_sink import FunctionSink
from arrowstream.io.sink import BoundSink
from arrowstream.operators.filter import Filter
from arrowstream.plan.composites.split import Split
from arrowstream.plan.graph import Composite, Graph, Step
from arrowstream.plan.policies import NO_POLICIES
from arrowstream.plan.side_outputs import without_side_outputs
from arrowstream.plan.step_ids import inner_prefix

_NOWHERE = FunctionSink(lambda batch: None)
"""The sink of rows that nobody looks at."""


def beginning(graph: Graph, steps: int) -> Graph:
    """Return the source and the first steps of a graph, without a sink."""
    return replace(graph, steps=graph.steps[:steps], sink=None, sink_policies=NO_POLICIES, query=None)


def writing_nothing(graph: Graph) -> Graph:
    """Return a graph without its sink, whose late rows, dead letters, bad rows and branches with sinks go nowhere."""
    return _without_sinks(without_side_outputs(beginning(graph, len(graph.steps)), _NOWHERE))


def _without_sinks(graph: Graph) -> Graph:
    steps = []
    for step in graph.steps:
        if isinstance(step.operator, Composite):
            graphs = [_without_sinks(child.graph) for child in step.operator.children]
            step = replace(step, operator=step.operator.with_children(graphs))
        steps.append(step)
    sink = None if graph.sink is None else BoundSink(_NOWHERE)
    return replace(graph, steps=tuple(steps), sink=sink, sink_policies=NO_POLICIES)


def up_to(graph: Graph, stage: str) -> Graph:
    """Return the graph of what comes out of a stage, as a line without a sink.

    Parameters
    ----------
    graph
        The pipeline.
    stage
        The id of a step or stage, as `explain()` prints it, also of one inside a branch or input: ``filter``,
        ``with_columns+filter``, ``split/high/filter``; ``source``, or ``sink`` for what goes into the sink.

    Raises
    ------
    PlanError
        No stage has this name.
    """
    found = _up_to(graph, stage)
    if found is None:
        names = list(_names(graph, ""))
        raise PlanError(
            f"the pipeline has no stage {stage!r}",
            expected=", ".join(names),
            found=repr(stage),
            hint=did_you_mean(stage, names),
        )
    return found


def _names(graph: Graph, prefix: str) -> Iterator[str]:
    """Yield the names that `up_to` knows."""
    yield f"{prefix}source" if graph.source is not None else prefix.rstrip("/")
    for id, step in zip(graph.ids, graph.steps, strict=True):
        yield f"{prefix}{id}"
        for child in step.children:
            yield from _names(child.graph, inner_prefix(f"{prefix}{id}", child.name))


def _up_to(graph: Graph, stage: str) -> Graph | None:
    if stage == "source" and graph.source is not None:
        return beginning(graph, 0)
    if stage in {name for name, _, _ in graph.ends} or stage == "sink":
        return beginning(graph, len(graph.steps))
    ids = graph.ids
    last = stage.split("+")[-1]
    if last in ids:
        return beginning(graph, ids.index(last) + 1)
    for place, (id, step) in enumerate(zip(ids, graph.steps, strict=True)):
        for child in step.children:
            prefix = inner_prefix(id, child.name)
            if f"{stage}/" == prefix and child.graph.inner:
                inner: Graph | None = beginning(child.graph, 0)
            elif stage.startswith(prefix):
                inner = _up_to(child.graph, stage.removeprefix(prefix))
            else:
                continue
            if inner is None or not child.graph.inner:
                return inner
            before = beginning(graph, place)
            return replace(before, steps=(*before.steps, _into(step, child.name), *inner.steps))
    return None


def _into(step: Step, branch: str) -> Step:
    """Return a filter that keeps the rows which take this branch of a split."""
    split = step.operator
    assert isinstance(split, Split)
    name = split.selector.cast(pl.String)
    if split.otherwise is not None and branch == split.otherwise.name:
        return Step(Filter((~name.is_in([each.name for each in split.branches]).fill_null(False),)))
    return Step(Filter((name == branch,)))
