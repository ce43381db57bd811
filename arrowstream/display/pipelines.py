"""Builders and pipelines as HTML: the graph, the columns, the stages with backend and reason, the guarantees."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

from arrowstream.backends.registry import backends
from arrowstream.builder.base import GraphBuilder
from arrowstream.config.settings import Settings
from arrowstream.core.failures import is_failure
from arrowstream.core.plural import counted
from arrowstream.display.boxes import kind_of, notes
from arrowstream.display.escape import lines
from arrowstream.display.graph import svg
from arrowstream.display.scene import ends
from arrowstream.display.style import shown
from arrowstream.display.tables import columns_table, error_box, folded, head, said, table
from arrowstream.display.unread import unread_graph, unread_plan, unread_table
from arrowstream.errors import ArrowstreamError
from arrowstream.io.memory.function_sink import CollectSink
from arrowstream.plan.apply_settings import apply_settings
from arrowstream.plan.checks.at_hand import not_at_hand
from arrowstream.plan.compile import check_graph, compile_plan
from arrowstream.plan.graph import Graph
from arrowstream.plan.outline import Column, Node, Outline
from arrowstream.plan.outline_of import outline
from arrowstream.plan.physical import Plan


class Planned(Protocol):
    """The interface of a pipeline that this module needs."""

    @property
    def _graph(self) -> Graph: ...

    @property
    def _plan(self) -> Plan | None: ...


builder_text = pipeline_text = repr
"""One line: source, steps, sinks."""


def builder_html(builder: GraphBuilder) -> str:
    """Return what a builder is so far. Nothing is run, and no function of the user is called.

    The columns are shown if they are at hand: of a local file they are read, of an object store or a database not. A
    mistake, such as a wrong name of a column, is shown with the steps as they are written.
    """
    graph = builder.graph
    unknown, wrong, plan = None, None, None
    if graph.source is None:
        unknown = "no source yet: .source(Source.from_file(path))"
    elif (place := not_at_hand(graph)) is not None:
        unknown = f"columns: known once the pipeline is built, or by .schema(), which asks {place}"
    else:
        try:
            plan = _plan(graph)
        except BaseException as error:  # a failure is shown, also one of the user's code or a panic of Polars
            if not is_failure(error):
                raise
            wrong = error
        if plan is None and wrong is None:
            unknown = "columns: learnt from the first batch, then checked"
    try:
        drawn = outline(unread_graph(graph), plan, unread_table)
    except ArrowstreamError as error:  # a sink that is refused cannot be drawn
        return shown(head("Builder", graph.name, "not run by being shown"), error_box(error))
    if graph.has_output:  # a sink that is not there yet decides what a run guarantees
        drawn = replace(drawn, guarantees=())
    parts = [
        head("Builder", graph.name, "not run by being shown"),
        error_box(wrong) if wrong else "",
        _graph(drawn),
    ]
    if unknown is not None:
        parts.append(said(unknown))
    for id in ends(drawn) if plan is not None else ():
        columns = drawn.node(id).columns_out or ()
        where = f" of {id}" if len(ends(drawn)) > 1 else ""
        parts.append(said(f"{counted(len(columns), 'columns')} come out{where}") + columns_table(columns))
    return shown(*parts, *_more(drawn))


def pipeline_html(pipeline: Planned) -> str:
    """Return what a pipeline is, from its graph and its plan, with the costs fitted so far."""
    graph, plan = pipeline._graph, pipeline._plan
    drawn = outline(unread_graph(graph), None if plan is None else unread_plan(plan), unread_table)
    state = "" if drawn.planned else "columns: learnt from the first batch, then checked"
    return shown(head("Pipeline", graph.name, state), _graph(drawn), *_more(drawn))


def _plan(graph: Graph) -> Plan | None:
    """Return the plan of a graph that needs no sink yet; None if the columns of its source are not known."""
    assert graph.source is not None
    schema = graph.source.schema()
    if schema is None:
        return None
    complete = graph.with_sink(CollectSink()) if graph.has_output else graph
    settings = Settings()
    known = backends(settings)
    check_graph(complete, known)
    return compile_plan(apply_settings(complete, settings), schema, known)


def _graph(drawn: Outline) -> str:
    return f'<div class="as-scroll">{svg(drawn)}</div>' if drawn.nodes else ""


def _more(drawn: Outline) -> list[str]:
    """Return what a click opens: every stage in full, the columns along the way, the SQL; and the guarantees."""
    found = []
    if drawn.guarantees:
        first, *rest = drawn.guarantees
        found += [said(f"with checkpoints: {first}"), *map(said, rest)]
    rows = [(node.id, kind_of(node), _does(node), notes(node)) for node in drawn.nodes]
    if rows:
        headings = ("stage", "kind", "what it does", "backend, guarantee, policies")
        found.append(folded("stages in full", table(headings, rows, label="stages")))
    known = [(node.id, node.columns_out) for node in drawn.nodes if node.columns_out is not None]
    if known:
        found.append(folded("columns after each stage", "".join(_columns(*each) for each in known)))
    if drawn.query is not None:
        found.append(folded("SQL", f"<pre>{lines(drawn.query.strip(chr(10)))}</pre>"))
    return found


def _does(node: Node) -> tuple[str, ...]:
    label = () if node.label == node.id.rpartition("/")[2] else (node.label,)
    return (*label, *node.reads, *node.steps)


def _columns(id: str, columns: tuple[Column, ...]) -> str:
    return folded(f"{id}: {counted(len(columns), 'columns')}", columns_table(columns))
