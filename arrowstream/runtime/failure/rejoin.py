"""The results for the parts of a failing batch, joined again.

Every later step and sink would otherwise be called for each part: 600 bad rows leave some 5,000 parts, and
a fixed cost of 50 us a batch then exceeds that of the rows.
"""

from __future__ import annotations

from collections.abc import Sequence

from arrowstream.core.batch import Batch, Element, joined_batch


def rejoined(out: Sequence[Element], most: int) -> list[Element]:
    """Return the same rows and marks in their order, in fewer batches.

    Parameters
    ----------
    out
        The results for the parts, in order.
    most
        Number of rows of the whole batch, up to which neighbours are joined: a step that makes many rows of
        one and cuts them into batches keeps these small.
    """
    result: list[Element] = []
    run: list[Batch] = []
    rows = 0
    for element in out:
        if not isinstance(element, Batch):
            result += [*_one(run), element]
            run, rows = [], 0
        elif element.num_rows:
            if run and (rows + element.num_rows > most or not _alike(run[-1], element)):
                result += _one(run)
                run, rows = [], 0
            run.append(element)
            rows += element.num_rows
    return result + _one(run)


def _alike(one: Batch, other: Batch) -> bool:
    """Return whether one batch can hold the ingest time and the positions of both."""
    placed = one.position is not None, other.position is not None
    return one.ingest_ns == other.ingest_ns and placed[0] == placed[1]


def _one(run: list[Batch]) -> list[Element]:
    return [joined_batch(run, rechunk=True)] if len(run) > 1 else [*run]
