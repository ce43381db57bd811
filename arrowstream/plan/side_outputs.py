"""Graphs whose late rows, dead letters and bad rows go elsewhere."""

from __future__ import annotations

from dataclasses import replace

from arrowstream.io.sink import SinkSpec
from arrowstream.plan.graph import Composite, Graph, Step
from arrowstream.policies.handlers import DeadLetter


def without_side_outputs(graph: Graph, sink: SinkSpec) -> Graph:
    """Return a graph whose late rows, dead letters and bad rows all go to `sink`, also those inside its steps."""
    source = None if graph.source is None else graph.source.with_bad_rows_sink(sink)
    return replace(graph, source=source, steps=tuple(_redirected(step, sink) for step in graph.steps))


def _redirected(step: Step, sink: SinkSpec) -> Step:
    operator, policies = step.operator, step.policies
    if isinstance(operator, Composite):
        graphs = [without_side_outputs(child.graph, sink) for child in operator.children]
        operator = operator.with_children(graphs)
    handlers = tuple(
        replace(handler, sink=sink) if isinstance(handler, DeadLetter) else handler
        for handler in policies.handlers
    )
    late = None if policies.late is None else sink
    return replace(step, operator=operator, policies=replace(policies, handlers=handlers, late=late))
