"""What the reader of files leaves out: notes for the report, and bad rows on the way to their sink."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import polars as pl

from arrowstream.core.notes import ReaderNote
from arrowstream.io.files.listing import ListedFile
from arrowstream.io.files.text.bad.bad_row import BadRow
from arrowstream.io.files.text.bad.put_aside import as_frame

KNOWN = "files left out that an earlier run has read"
SKIPPED = "files without content left out"
BAD = "rows left out as bad"
LEFT_OUT = "values left out, of keys that are not columns or come twice in an object"


class LeftOut:
    """What a reader has left out so far.

    Parameters
    ----------
    skipped
        Files without content.
    known
        Files that an earlier run has read.
    note_bad_rows
        Whether bad rows are lost, and not written to a sink.
    """

    __slots__ = ("_bad", "_note_bad_rows", "notes")

    def __init__(
        self, skipped: Sequence[ListedFile] = (), known: Sequence[ListedFile] = (), *, note_bad_rows: bool
    ) -> None:
        self._bad: list[pl.DataFrame] = []
        self._note_bad_rows = note_bad_rows
        self.notes = (
            *(ReaderNote(KNOWN, len(known), str(file.path), lost=False) for file in known[:1]),
            *(ReaderNote(SKIPPED, len(skipped), str(file.path)) for file in skipped[:1]),
        )

    def values(self, count: int, first: Callable[[], str]) -> None:
        """Note `count` values, the first one at the place that `first` returns."""
        self._note(LEFT_OUT, count, first)

    def bad_rows(self, rows: Sequence[BadRow], first_row: int) -> None:
        """Keep bad rows of a piece whose first row has this number in its file, counted from 0."""
        frame = as_frame(rows, first_row)
        self._bad.append(frame)
        if self._note_bad_rows:
            first = frame.row(0, named=True)
            self._note(BAD, len(rows), lambda: "row {row} (line {line}) of {file}: {error}".format(**first))

    def take_bad_rows(self) -> pl.DataFrame | None:
        """Return the bad rows since the last call, or None without any."""
        taken, self._bad = self._bad, []
        return pl.concat(taken) if taken else None

    def _note(self, what: str, count: int, first: Callable[[], str]) -> None:
        before = next((note for note in self.notes if note.what == what), None)
        others = (note for note in self.notes if note.what != what)
        if before is None:
            self.notes = (*others, ReaderNote(what, count, first(), failed=what == BAD))
        else:
            self.notes = (*others, replace(before, count=before.count + count))
