"""What the start of a pipeline asks of the read itself: filters and computations, or only the columns needed."""

from __future__ import annotations

from dataclasses import replace

import polars as pl

from arrowstream.expressions.every_row import steps_for_every_row
from arrowstream.io.source import Query, SourceSpec
from arrowstream.operators.with_event_time import Watermarks
from arrowstream.plan.fuse import Piece
from arrowstream.plan.lowering.lower import required_columns
from arrowstream.plan.physical import Input
from arrowstream.plan.segment import Segment


def push_down(source: SourceSpec, schema: pl.Schema, pieces: list[Piece]) -> tuple[Input, list[Piece]]:
    """The source with what it takes over, and the pieces that are left.

    A first segment goes into the read as a whole where the source can do that. Where it cannot, or a
    watermark comes first, which must see every row, the read gives only the columns that are needed.
    """
    if source.pushdown == "none" or not pieces:
        return Input(source, schema), pieces
    first = pieces[0]
    segment = first.part
    if isinstance(segment, Segment):
        whole = first.pin in ("auto", "polars") and not first.policies.alone and not _uses_constants(segment)
        if source.pushdown == "query" and whole:
            query = replace(segment, steps=steps_for_every_row(segment.steps)).apply_lazy
            text = source.explain_read(segment.apply_lazy)
            return Input(source, segment.output, query, segment, text), pieces[1:]
        return _only_needed(source, schema, [], first, pieces[1:])
    if isinstance(segment, Watermarks) and len(pieces) > 1 and isinstance(pieces[1].part, Segment):
        return _only_needed(source, schema, [first], pieces[1], pieces[2:])
    return Input(source, schema), pieces


def _only_needed(
    source: SourceSpec, schema: pl.Schema, marks: list[Piece], first: Piece, rest: list[Piece]
) -> tuple[Input, list[Piece]]:
    assert isinstance(first.part, Segment)
    also = {piece.part.column for piece in marks if isinstance(piece.part, Watermarks)}
    narrowed = _narrow(first.part, also)
    if narrowed is None or first.policies.alone:  # what fails is reported with all its columns
        return Input(source, schema), [*marks, first, *rest]
    query, fewer = _choose(tuple(narrowed.schema)), narrowed.schema
    marks = [replace(piece, schema=fewer, output=fewer) for piece in marks]
    return Input(source, fewer, query, None, source.explain_read(query)), [
        *marks,
        first.over(narrowed),
        *rest,
    ]


def _uses_constants(segment: Segment) -> bool:
    """Whether a step may compute with a column of constants from a step before it.

    Polars keeps such a column as one value, and divides by it in another way than by the same value in
    rows; the read would show by its results how many rows it took at a time. A stage does not.
    """
    return any(
        not expr.meta.root_names() and not expr.meta.has_multiple_outputs()
        for step in segment.steps[:-1]
        for expr in step.expressions()
    )


def _narrow(segment: Segment, also: set[str]) -> Segment | None:
    """The segment over only those columns it needs and `also`, or None if that is all."""
    needed = required_columns(segment.apply_lazy, segment.schema)
    if needed is None or not 0 < len(needed) < len(segment.schema):
        return None
    names = set(needed) | also
    schema = pl.Schema({name: dtype for name, dtype in segment.schema.items() if name in names})
    return Segment(segment.steps, schema, segment.output)


def _choose(columns: tuple[str, ...]) -> Query:
    return lambda frame: frame.select(columns)
