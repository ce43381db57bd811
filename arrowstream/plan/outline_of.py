"""Makes the outline of a pipeline from its plan, or from its graph alone while it has no plan."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial

import polars as pl

from arrowstream.io.memory.function_sink import CollectSink
from arrowstream.io.sink import SinkSpec
from arrowstream.io.source import BAD_ROWS, SourceSpec
from arrowstream.operators.base import Expressions, Operator
from arrowstream.plan.composites.planned_table import PlannedTable, planned_table
from arrowstream.plan.explain import NEVER_LATE, guarantee, marks_time, never_late, policy_lines
from arrowstream.plan.graph import Composite, Graph, Step
from arrowstream.plan.guarantee import guarantees
from arrowstream.plan.outline import Column, Cost, Edge, EdgeKind, Node, NodeKind, Outline
from arrowstream.plan.physical import (
    Input,
    InputsStage,
    Line,
    OperatorStage,
    Plan,
    SegmentStage,
    SinkBinding,
    SplitStage,
    Stage,
)
from arrowstream.plan.policies import Policies, dead_letter_sink
from arrowstream.plan.step_ids import inner_id, inner_prefix
from arrowstream.policies.dead_letter import dead_letter_schema
from arrowstream.policies.handlers import DeadLetter

Tail = tuple[str, str]
"""The node that rows come from, and the name of the branch or input that they come through."""

Tables = Callable[[PlannedTable], tuple[Graph, Line | None]]
"""Returns the pipeline of a table, and its stages if they are known."""


def _look(table: PlannedTable) -> tuple[Graph, Line | None]:
    return table.graph, table.line


def outline(graph: Graph, plan: Plan | None, tables: Tables = _look) -> Outline:
    """Return the outline of a pipeline. It opens nothing: from a graph alone, no column is known.

    Parameters
    ----------
    graph
        The pipeline.
    plan
        Its plan, whose costs are those of this moment; None while the columns of its source are not known.
    tables
        Looks at the pipelines of tables that are joined.
    """
    drawing = _Drawing(tables)
    if plan is None:
        drawing.graph(graph, "", [])
    else:
        drawing.line(Line(graph.name, plan.input, plan.stages, plan.output, plan.sink), [], "", False)
    known = graph.sinks and not any(isinstance(sink, CollectSink) for sink in graph.sinks)
    promised = guarantees(graph.sources, graph.sinks) if known else ()
    return Outline(
        graph.name, tuple(drawing.nodes), tuple(drawing.edges), plan is not None, graph.query, promised
    )


def passing_schemas(plan: Plan) -> dict[str, pl.Schema]:
    """Return the schema of the rows that come out of each source and stage, and that go into each sink, by id."""
    drawing = _Drawing()
    drawing.line(Line(plan.name, plan.input, plan.stages, plan.output, plan.sink), [], "", False)
    return drawing.passing


class _Drawing:
    """The nodes and edges so far, and the schema of the rows that pass at each node."""

    def __init__(self, tables: Tables = _look) -> None:
        self._tables = tables
        self.nodes: list[Node] = []
        self.edges: list[Edge] = []
        self.passing: dict[str, pl.Schema] = {}
        self._shared: list[tuple[SinkSpec, pl.Schema | None, str]] = []
        """Sinks of dead letters and bad rows: several stages share an equal one, which has the name of the first."""

    def line(self, line: Line, tails: Sequence[Tail], path: str, marked: bool) -> list[Tail]:
        """Draw a line of a plan; return where its rows come out.

        Parameters
        ----------
        line
            The line.
        tails
            Where its rows come from.
        path
            The branch or input that it is; empty for the main line.
        marked
            True if watermarks may come in.
        """
        tails = list(tails)
        if line.sink is not None:
            self._reserve(line.sink)
        if line.input is not None:
            tails = [self._source(line.input, path)]
            marked = line.input.source.marks_time
        for stage in line.stages:
            if isinstance(stage, SplitStage) and stage.route is None:
                for branch in stage.branches:
                    self._sink(branch.sink, tails, path)
                return []
            tails = self._stage(stage, tails, path, marked)
            marked = marked or marks_time(stage)
        self._sink(line.sink, tails, path)
        return [] if line.ended else tails

    def graph(self, graph: Graph, prefix: str, tails: Sequence[Tail]) -> list[Tail]:
        """Draw a graph without a plan, each step as a node; return where its rows come out."""
        tails, path = list(tails), prefix.rstrip("/")
        if graph.source is not None:
            id = f"{prefix}source"
            self.nodes.append(Node(id, "source", graph.source.label, path))
            self._bad_rows(id, graph.source, path)
            tails = [(id, "")]
        for own, step in zip(graph.ids, graph.steps, strict=True):
            tails = self._step(f"{prefix}{own}", own, step, tails, path)
        for name, end, policies in graph.ends:
            id = f"{prefix}{name}"
            self._end(id, end.sink, end.best_effort_capacity, policies, tails, path, None)
        return tails if graph.has_output else []

    def _source(self, start: Input, path: str) -> Tail:
        absorbed = () if start.absorbed is None else tuple(step.describe() for step in start.absorbed.steps)
        reads = () if start.taken_over is None else tuple(start.source.explain_read(start.taken_over))
        self.nodes.append(
            Node(
                start.name,
                "source",
                start.source.label,
                path,
                absorbed,
                reads,
                columns_out=_columns(start.schema),
                backend="polars, inside the read" if absorbed else None,
            )
        )
        self.passing[start.name] = start.schema
        self._bad_rows(start.name, start.source, path)
        return start.name, ""

    def _stage(self, stage: Stage, tails: Sequence[Tail], path: str, marked: bool) -> list[Tail]:
        """Draw a stage and the lines inside of it; return where rows come out."""
        inside = [(line, inner_prefix(stage.name, line.name).rstrip("/")) for line in stage.lines]
        tails = list(tails)
        if isinstance(stage, InputsStage):
            for line, below in inside:
                tails += [(id, line.name) for id, _ in self.line(line, [], below, False)]
        into = None if isinstance(stage, SplitStage) else stage.schema
        policies = Policies() if isinstance(stage, SplitStage) else stage.policies
        node = Node(
            stage.name,
            _kind(stage),
            stage.name.removeprefix(f"{path}/"),
            path,
            stage.description,
            columns_in=_columns(into),
            columns_out=_columns(stage.output),
            policies=_lines(policies),
        )
        if isinstance(stage, SegmentStage):
            costs = tuple(
                Cost(name, cost.fixed, cost.slope * 1000, cost.samples)
                for name, cost in stage.placement.measured.items()
            )
            node = replace(node, backend=stage.placement.reason, costs=costs)
        if isinstance(stage, OperatorStage):
            node = replace(node, remark=stage.operator.remark)
            tails += self._table(stage.name, stage.operator)
        if not isinstance(stage, SplitStage) and never_late(stage, marked):
            node = replace(node, remark=NEVER_LATE)
        self._node(node, tails, passing=stage.output)
        self._sides(stage.name, policies, into, stage.late if isinstance(stage, InputsStage) else into, path)
        if not isinstance(stage, SplitStage):
            return [(stage.name, "")]
        out: list[Tail] = []
        for line, below in inside:
            out += self.line(line, [(stage.name, line.name)], below, marked)
        return out

    def _step(self, id: str, own: str, step: Step, tails: Sequence[Tail], path: str) -> list[Tail]:
        """Draw a step that is not planned, and the graphs inside of it; return where rows come out."""
        tails = [*tails, *self._table(id, step.operator)]
        branches = [child for child in step.children if child.graph.inner]
        for child in step.children:
            if child not in branches:
                drawn = self.graph(child.graph, inner_prefix(id, child.name), [])
                tails += [(tail, child.name) for tail, _ in drawn]
        kind: NodeKind = "expressions" if isinstance(step.operator, Expressions) else "operator"
        if step.children:
            kind = "split" if branches else "inputs"
        pin = None if step.backend == "auto" else f"pinned: {step.backend}"
        lines = _lines(step.policies)
        self._node(Node(id, kind, own, path, (step.operator.describe(),), backend=pin, policies=lines), tails)
        self._sides(id, step.policies, None, None, path)
        if not branches:
            return [(id, "")]
        out: list[Tail] = []
        for child in branches:
            out += self.graph(child.graph, inner_prefix(id, child.name), [(id, child.name)])
        return out

    def _table(self, id: str, operator: Expressions | Operator | Composite) -> list[Tail]:
        """Draw the pipeline of a table that this step joins; return where its rows come out."""
        if (table := planned_table(operator)) is None:
            return []
        graph, line = self._tables(table)
        own = _Drawing(self._tables)
        tails = own.graph(graph, "", []) if line is None else own.line(line, [], "", False)
        within = partial(inner_id, id, graph.name)
        path = inner_prefix(id, graph.name)
        self.nodes += [
            replace(node, id=within(node.id), line=f"{path}{node.line}".rstrip("/")) for node in own.nodes
        ]
        self.edges += [
            replace(edge, source=within(edge.source), target=within(edge.target)) for edge in own.edges
        ]
        self.passing |= {within(name): schema for name, schema in own.passing.items()}
        return [(within(tail), graph.name) for tail, _ in tails]

    def _node(
        self,
        node: Node,
        tails: Iterable[Tail],
        kind: EdgeKind = "rows",
        *,
        passing: pl.Schema | None = None,
    ) -> None:
        """Add a node, the edges to it, and the schema of what passes there."""
        known = {each.id: each.columns_out for each in self.nodes}
        tails = list(tails)
        if node.kind == "split":
            # It passes on the rows that come in: what its plan has as output comes out where the branches meet.
            into = known[tails[0][0]] if tails else None
            node = replace(node, columns_in=into, columns_out=into)
            passing = self.passing.get(tails[0][0]) if tails else None
        if passing is not None:
            self.passing[node.id] = passing
        self.nodes.append(node)
        for source, label in tails:
            columns = known[source] if kind == "rows" else node.columns_in
            self.edges.append(Edge(source, node.id, kind, label, columns))

    def _sink(self, binding: SinkBinding | None, tails: Sequence[Tail], path: str) -> None:
        if binding is not None:
            capacity = binding.best_effort_capacity
            self._end(binding.name, binding.sink, capacity, binding.policies, tails, path, binding.schema)

    def _end(
        self,
        id: str,
        sink: SinkSpec,
        capacity: int | None,
        policies: Policies,
        tails: Sequence[Tail],
        path: str,
        schema: pl.Schema | None,
    ) -> None:
        """Draw a sink at an end of the pipeline; a builder that is looked at has none, only a place for its rows."""
        if type(sink) is CollectSink:  # not one that derives from it, as the test kit's
            return
        promised, lines = guarantee(sink, capacity), _lines(policies)
        columns = _columns(schema)
        self._node(
            Node(id, "sink", sink.label, path, columns_in=columns, guarantee=promised, policies=lines),
            tails,
            passing=schema,
        )
        self._sides(id, policies, schema, None, path)

    def _bad_rows(self, source: str, spec: SourceSpec, path: str) -> None:
        if spec.bad_rows_sink is not None:
            self._side(source, "bad rows", spec.bad_rows_sink, BAD_ROWS, path)

    def _sides(
        self, stage: str, policies: Policies, schema: pl.Schema | None, late: pl.Schema | None, path: str
    ) -> None:
        """Draw the sinks of late rows, which have schema `late`, and of dead letters, made of rows of `schema`."""
        if policies.late is not None:
            self._side(stage, "late rows", policies.late, late, path)
        for handler in policies.handlers:
            if isinstance(handler, DeadLetter):
                letters = None if schema is None else dead_letter_schema(schema)
                self._side(stage, "dead letters", dead_letter_sink(handler), letters, path)

    def _reserve(self, binding: SinkBinding) -> None:
        """Name the sink of the dead letters of a sink, which a run opens before those of the stages."""
        for handler in binding.policies.handlers:
            if isinstance(handler, DeadLetter):
                schema = dead_letter_schema(binding.schema)
                self._shared_id(f"dead letters of {binding.name}", dead_letter_sink(handler), schema)

    def _shared_id(self, id: str, sink: SinkSpec, schema: pl.Schema | None) -> str:
        """Return the id of the known sink that is the same, or `id` for a new one."""
        for known, its_schema, its_id in self._shared:
            if known is sink and its_schema == schema:
                return its_id
        self._shared.append((sink, schema, id))
        return id

    def _side(self, stage: str, kind: EdgeKind, sink: SinkSpec, schema: pl.Schema | None, path: str) -> None:
        id, columns = f"{kind} of {stage}", _columns(schema)
        if kind != "late rows":
            id = self._shared_id(id, sink, schema)
        if any(node.id == id for node in self.nodes):
            self.edges.append(Edge(stage, id, kind, columns=columns))
        else:
            node = Node(id, "side", sink.label, path, columns_in=columns, guarantee=sink.guarantee)
            self._node(node, [(stage, "")], kind, passing=schema)


def _kind(stage: Stage) -> NodeKind:
    if isinstance(stage, SegmentStage):
        return "expressions"
    if isinstance(stage, OperatorStage):
        return "operator"
    return "split" if isinstance(stage, SplitStage) else "inputs"


def _columns(schema: pl.Schema | None) -> tuple[Column, ...] | None:
    return None if schema is None else tuple((name, str(dtype)) for name, dtype in schema.items())


def _lines(policies: Policies) -> tuple[str, ...]:
    return tuple(line.strip() for line in policy_lines(policies))
