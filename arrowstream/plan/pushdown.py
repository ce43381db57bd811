"""Pushdown: the first steps of a line run inside the read, or the read gives only the columns that they need."""

from __future__ import annotations

from dataclasses import replace

import polars as pl

from arrowstream.expressions.constant_divisors import divides_by
from arrowstream.expressions.every_row import depend_on_neighbours, steps_for_every_row
from arrowstream.io.choice import ColumnChoice
from arrowstream.io.source import SourceSpec
from arrowstream.operators.filter import Filter
from arrowstream.operators.with_event_time import Watermarks
from arrowstream.plan.fuse import StageDraft
from arrowstream.plan.lowering.lower import required_columns
from arrowstream.plan.physical import Input
from arrowstream.plan.segment import Segment


def push_down(
    source: SourceSpec, schema: pl.Schema, drafts: list[StageDraft], in_read: str
) -> tuple[Input, list[StageDraft]]:
    """Push work into the read; return the source with the work it takes over, and the drafts that remain.

    The whole first segment goes into the read if the source can run it. If it cannot, or if the first step makes
    watermarks, which must see every row, the read gives only the columns that are needed.

    Parameters
    ----------
    source
        The source.
    schema
        Its schema.
    drafts
        The stages of the line, in order.
    in_read
        The backend that reads compute with; a segment that is pinned to another one stays a stage.
    """
    if source.pushdown == "none" or not drafts:
        return Input(source, schema), drafts
    first = drafts[0]
    segment = first.work
    if isinstance(segment, Segment):
        free = first.pin in ("auto", in_read) and not first.policies.own_stage
        runs = replace(segment, steps=steps_for_every_row(segment.steps, segment.schema))
        if source.pushdown == "query" and free and not _depends_on_cut(runs, source.constant_columns):
            return Input(source, segment.output, runs.apply_lazy, segment, segment.apply_lazy), drafts[1:]
        return _only_needed(source, schema, [], first, drafts[1:])
    if isinstance(segment, Watermarks) and len(drafts) > 1 and isinstance(drafts[1].work, Segment):
        return _only_needed(source, schema, [first], drafts[1], drafts[2:])
    return Input(source, schema), drafts


def _only_needed(
    source: SourceSpec, schema: pl.Schema, marks: list[StageDraft], first: StageDraft, rest: list[StageDraft]
) -> tuple[Input, list[StageDraft]]:
    assert isinstance(first.work, Segment)
    also = {draft.work.column for draft in marks if isinstance(draft.work, Watermarks)}
    narrowed = _narrow(first.work, also)
    if narrowed is None or first.policies.own_stage:  # failing rows are reported with all their columns
        return Input(source, schema), [*marks, first, *rest]
    query, fewer = ColumnChoice(tuple(narrowed.schema)), narrowed.schema
    marks = [replace(draft, schema=fewer, output=fewer) for draft in marks]
    return Input(source, fewer, query, None, query), [*marks, first.over(narrowed), *rest]


def _depends_on_cut(segment: Segment, constants: frozenset[str]) -> bool:
    """Return whether values would depend on where the read, whose `constants` are columns of one value, is cut."""
    return (
        _uses_constants(segment)
        or _computes_with(segment, constants)
        or depend_on_neighbours(segment.steps, segment.schema)
    )


def _uses_constants(segment: Segment) -> bool:
    """Return whether a step may compute with a column of constants from a step before it.

    Polars keeps such a column as one value, and divides by it in another way than by the same value in rows. The
    results would depend on the number of rows that the read takes at a time; those of a stage do not.
    """
    return any(
        not expr.meta.root_names() and not expr.meta.has_multiple_outputs()
        for step in segment.steps[:-1]
        for expr in step.expressions()
    )


def _computes_with(segment: Segment, constants: frozenset[str]) -> bool:
    """Return whether an expression computes with a column that a read keeps as one value, other than by comparing.

    As with the columns of `_uses_constants`, its results would differ from those of a stage. Filters that do not
    divide by such a column stay in the read, because they decide which files are read.
    """
    renamed = False
    for step in segment.steps if constants else ():
        for expr in step.expressions():
            if isinstance(step, Filter):
                if divides_by(expr, None if renamed else constants):
                    return True
            elif not expr.meta.is_column_selection() and (
                expr.meta.has_multiple_outputs() or not constants.isdisjoint(expr.meta.root_names())
            ):
                return True
        renamed = renamed or not isinstance(step, Filter)
    return False


def _narrow(segment: Segment, also: set[str]) -> Segment | None:
    """Return the segment over only the columns it needs and those in `also`; None if it needs all of them."""
    needed = required_columns(segment.apply_lazy, segment.schema)
    if needed is None or not 0 < len(needed) < len(segment.schema):
        return None
    names = set(needed) | also
    schema = pl.Schema({name: dtype for name, dtype in segment.schema.items() if name in names})
    return Segment(segment.steps, schema, segment.output)
