"""`explain()`: the plan as stable text."""

from __future__ import annotations

import polars as pl

from arrowstream.plan.graph import Graph
from arrowstream.plan.physical import Plan, SegmentStage


def explain_plan(plan: Plan) -> str:
    """Stages, what was fused, the schema on every edge, backends with the reason, the sink's guarantee."""
    lines = [f"pipeline {plan.name}", f"  source: {plan.source.label}"]
    lines += [f"    {line}" for line in plan.read]
    if plan.absorbed is not None:
        lines.append("    runs inside the read, on polars:")
        lines += [f"      {step.describe()}" for step in plan.absorbed.steps]
    lines.append(f"    -> {_columns(plan.schema)}")
    for stage in plan.stages:
        lines.append(f"  stage {stage.name}")
        if isinstance(stage, SegmentStage):
            lines += [f"      {step.describe()}" for step in stage.segment.steps]
            lines += [f"    {line}" for line in stage.placement.explain().splitlines()]
        else:
            lines.append(f"      {stage.operator.describe()}")
        lines.append(f"    -> {_columns(stage.output)}")
    lines += [f"  sink: {plan.sink.label}", f"    guarantee: {plan.sink.guarantee}"]
    return "\n".join(lines)


def explain_graph(graph: Graph) -> str:
    """What can be said of a complete graph before its source's schema is known."""
    assert graph.source is not None
    assert graph.sink is not None
    lines = [f"pipeline {graph.name}", f"  source: {graph.source.label}"]
    lines.append("    schema: learnt from the first batch, then checked")
    for number, step in enumerate(graph.steps, 1):
        pin = "" if step.backend == "auto" else f"  [backend {step.backend}]"
        lines.append(f"  step {number} {step.operator.describe()}{pin}")
    lines += [f"  sink: {graph.sink.label}", f"    guarantee: {graph.sink.guarantee}"]
    return "\n".join(lines)


def _columns(schema: pl.Schema) -> str:
    return ", ".join(f"{name}: {dtype}" for name, dtype in schema.items())
