"""Settings filled into a graph, its branches and its other inputs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from arrowstream.config.settings import Settings
from arrowstream.errors import PlanError
from arrowstream.io.sink import Fanout
from arrowstream.operators.base import Operator
from arrowstream.plan.graph import Composite, Graph, Step
from arrowstream.plan.policies import Policies
from arrowstream.policies.handlers import ErrorHandler, Retry


def apply_settings(graph: Graph, settings: Settings) -> Graph:
    """Return the graph with the settings' values where the user set none, in branches and other inputs too.

    Raises
    ------
    PlanError
        A step asks for a larger queue capacity, in batches, than the setting ``max_buffer_size``.
    """
    sink = graph.sink
    if isinstance(sink, Fanout):
        ends = (replace(end, handlers=_handlers(end.handlers, settings)) for end in sink.sinks)
        sink = Fanout(tuple(ends))
    return replace(
        graph,
        steps=tuple(_step(step, settings) for step in graph.steps),
        sink=sink,
        sink_policies=_policies(graph.sink_policies, settings),
    )


def _step(step: Step, settings: Settings) -> Step:
    operator = step.operator
    if isinstance(operator, Composite):
        operator = operator.with_children(
            [apply_settings(child.graph, settings) for child in operator.children]
        )
    elif isinstance(operator, Operator):
        if (operator.queue_capacity or 0) > settings.max_buffer_size:
            raise PlanError(
                f"{operator.describe()} is too large",
                expected=f"at most {settings.max_buffer_size} batches, the setting 'max_buffer_size'",
                found=str(operator.queue_capacity),
            )
        operator = operator.with_settings(settings)
    return replace(step, operator=operator, policies=_policies(step.policies, settings))


def _policies(policies: Policies, settings: Settings) -> Policies:
    return replace(policies, handlers=_handlers(policies.handlers, settings))


def _handlers(handlers: Iterable[ErrorHandler], settings: Settings) -> tuple[ErrorHandler, ...]:
    return tuple(
        handler.settled(settings.max_retries, settings.retry_delay_ms / 1_000)
        if isinstance(handler, Retry)
        else handler
        for handler in handlers
    )
