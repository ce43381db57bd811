"""Settings filled into a graph, in every branch and other input."""

from __future__ import annotations

from dataclasses import replace

from arrowstream.config.settings import Settings
from arrowstream.errors import PlanError
from arrowstream.operators.base import Operator
from arrowstream.plan.graph import Composite, Graph, Step
from arrowstream.plan.policies import Policies
from arrowstream.policies.handlers import Retry


def apply_settings(graph: Graph, settings: Settings) -> Graph:
    """The graph with the settings' values where the user set none.

    Raises
    ------
    PlanError
        A buffer is larger than the settings allow.
    """
    return replace(
        graph,
        steps=tuple(_step(step, settings) for step in graph.steps),
        sink_policies=_policies(graph.sink_policies, settings),
        part_policies=tuple(_policies(policies, settings) for policies in graph.part_policies),
    )


def _step(step: Step, settings: Settings) -> Step:
    operator = step.operator
    if isinstance(operator, Composite):
        operator = operator.with_children(
            [apply_settings(child.graph, settings) for child in operator.children]
        )
    elif isinstance(operator, Operator) and (operator.queue_capacity or 0) > settings.max_buffer_size:
        raise PlanError(
            f"{operator.describe()} is too large",
            expected=f"at most {settings.max_buffer_size} batches, the setting 'max_buffer_size'",
            found=str(operator.queue_capacity),
        )
    return replace(step, operator=operator, policies=_policies(step.policies, settings))


def _policies(policies: Policies, settings: Settings) -> Policies:
    handlers = tuple(
        handler.settled(settings.max_retries, settings.retry_delay_ms / 1_000)
        if isinstance(handler, Retry)
        else handler
        for handler in policies.handlers
    )
    return replace(policies, handlers=handlers)
