"""Bad rows: what cannot be read of a text file, put aside with its place and the error."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl

from arrowstream.core.mistakes.explain import nearest_value
from arrowstream.errors import PlanError
from arrowstream.io.files.paths import printable
from arrowstream.io.files.text.bad.bad_row import BadRow
from arrowstream.io.files.text.bad.sift import Sifted
from arrowstream.io.files.text.records import Gap, positions
from arrowstream.io.sink import BoundSink, Fanout, SinkSpec
from arrowstream.io.source import BAD_ROWS

_NEWLINE = ord("\n")

BadRowsTo = SinkSpec | Literal["error", "skip"]
"""A sink that bad rows go to; ``"skip"`` to leave them out; ``"error"`` if the first one ends the run."""


def bad_rows(path: str, lines_out: Sequence[Gap], found: Sifted, line: int) -> list[BadRow]:
    """Return the bad rows of a block, in order: lines taken out of it, and some of its records.

    Parameters
    ----------
    path
        Path of the file.
    lines_out
        Lines that were taken out of the block, in order.
    found
        Its good and bad records.
    line
        Line of the file on which the block begins, counted from 1.
    """
    if not lines_out and not found.errors:
        return []
    ends, blank = found.ends, found.blank
    whole = found.whole
    newlines = positions(whole.data, _NEWLINE)
    starts = np.concatenate(([0], ends))
    gaps = np.array([gap.at for gap in lines_out], np.int64)
    is_bad = np.array([0, *(gap.error is not None for gap in lines_out)], np.int64)
    bad_gaps = np.cumsum(is_bad)

    def bad(record: int, start: int, gaps_before: int, error: str, text: bytes) -> BadRow:
        row = record - int(np.searchsorted(blank, record)) + int(bad_gaps[gaps_before])
        lines = whole.line(int(np.searchsorted(newlines, start))) + gaps_before
        return BadRow(path, row, line + lines, error, text)

    rows = [
        bad(int(np.searchsorted(ends, gap.at, side="right")), gap.at, before, gap.error, gap.text)
        for before, gap in enumerate(lines_out)
        if gap.error is not None
    ]
    for record, error in found.errors.items():
        start, end = int(starts[record]), int(starts[record + 1])
        before = int(np.searchsorted(gaps, start, side="right"))
        rows.append(bad(record, start, before, error, whole.data[start:end]))
    return sorted(rows, key=lambda row: row.row)


def as_frame(rows: Sequence[BadRow], first_row: int) -> pl.DataFrame:
    """Return bad rows as a frame of the columns `BAD_ROWS`.

    Parameters
    ----------
    rows
        The bad rows.
    first_row
        Number of the piece's first record in the file, counted from 0.
    """
    return pl.DataFrame(
        {
            "file": [printable(row.path) for row in rows],
            "row": [first_row + row.row + 1 for row in rows],
            "line": [row.line for row in rows],
            "error": [row.error for row in rows],
            "text": [row.text.rstrip(b"\r\n").decode("utf-8", "backslashreplace") for row in rows],
        },
        schema=BAD_ROWS,
    )


def checked_destination(bad_rows: object) -> BadRowsTo:
    """Return the argument `bad_rows`; raise PlanError unless it says where bad rows go."""
    if isinstance(bad_rows, SinkSpec) or bad_rows in ("error", "skip"):
        return bad_rows
    with_handlers = isinstance(bad_rows, BoundSink | Fanout)
    raise PlanError(
        "bad_rows= takes one sink without handlers" if with_handlers else "bad_rows= has another value",
        expected="a plain sink such as Sink.to_file('bad.ndjson'), 'skip' or 'error'",
        found=repr(bad_rows) if isinstance(bad_rows, str | Path) else type(bad_rows).__name__,
        hint=_destination_hint(bad_rows),
    )


def _destination_hint(bad_rows: object) -> str:
    """Return a hint for a value that says not where bad rows go; a text with a dot or a slash is a path."""
    text = str(bad_rows) if isinstance(bad_rows, str | Path) else ""
    if isinstance(bad_rows, Path) or "." in text or "/" in text:
        return f"write bad_rows=Sink.to_file({text!r})"
    return nearest_value(text, ("skip", "error")) or "write bad_rows=Sink.to_file('bad.ndjson')"
