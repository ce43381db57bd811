"""The columns of the messages of a source, which its first batch may have to show."""

from __future__ import annotations

from dataclasses import replace

import polars as pl

from arrowstream.core.batch import Batch
from arrowstream.operators.messages.decode import Decode
from arrowstream.plan.graph import Graph


def settled(graph: Graph, first: Batch) -> Graph:
    """Return the graph with the columns that the first batch of messages shows, if its decoder knows none."""
    decode = _decode(graph)
    if decode is None or decode.decoder.schema is not None:
        return graph
    return replace(graph, steps=(replace(graph.steps[0], operator=decode.settled(first)), *graph.steps[1:]))


def message_schema(graph: Graph) -> pl.Schema | None:
    """Return the columns of the messages of the source; None without messages, or while they are unknown."""
    decode = _decode(graph)
    return None if decode is None else decode.decoder.schema


def _decode(graph: Graph) -> Decode | None:
    first = graph.steps[0].operator if graph.steps else None
    return first if isinstance(first, Decode) else None
