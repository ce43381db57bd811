"""A pipeline on one line, for `repr()`."""

from __future__ import annotations

from arrowstream.core.plural import counted
from arrowstream.io.sink import bound
from arrowstream.plan.graph import Graph

_NAMED = 6
"""Largest number of steps that are named; more are counted."""


def sentence(graph: Graph) -> str:
    """Return source, steps and sinks on one line; it connects to nothing.

    Examples
    --------
    >>> import polars as pl
    >>> from arrowstream import Pipeline, Source
    >>> Pipeline.builder("odd").source(Source.from_frame(pl.DataFrame({"x": [1, 2]}))).filter(pl.col("x") % 2 == 1)
    Builder 'odd': frame -> filter -> no sink yet
    """
    source = "no source yet" if graph.source is None else graph.source.brief
    ids = graph.ids
    steps = [] if not ids else [", ".join(ids) if len(ids) <= _NAMED else counted(len(ids), "steps")]
    sinks = [] if graph.sink is None else [end.sink.brief for end in bound(graph.sink)]
    if graph.has_output:
        sinks = ["no sink yet"]
    return f"{graph.name!r}: {' -> '.join([source, *steps, *([', '.join(sinks)] if sinks else [])])}"
