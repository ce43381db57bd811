"""Notes of sources, steps and sinks about rows that they changed, left out or did not take at their word."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from arrowstream.core.plural import counted


@dataclass(frozen=True, slots=True)
class ReaderNote:
    """An event that is not an error, such as values left out while rows were read, or written as null.

    Parameters
    ----------
    what
        What was affected, as a plural noun phrase: ``values of keys that are not columns``.
    count
        Number of occurrences.
    first
        The first occurrence: file, row, and what was found there.
    lost
        Whether rows or values were changed or left out; False if all of them are in the output.
    failed
        Whether these are rows that their source counts as failed, too.
    uncounted
        Whether these are rows that reach no sink, and that no counter of a stage has.
    """

    what: str
    count: int
    first: str
    lost: bool = True
    failed: bool = False
    uncounted: bool = False

    def __str__(self) -> str:
        """Format the note as one line of a report.

        Examples
        --------
        >>> print(ReaderNote("values left out", 1200, "row 3 (line 3) of x.ndjson, key 'z'"))
        1,200 values left out, first in row 3 (line 3) of x.ndjson, key 'z'
        """
        return f"{counted(self.count, self.what)}, first in {self.first}"


def joined_notes(notes: Iterable[ReaderNote]) -> tuple[ReaderNote, ...]:
    """Return one note for all that say the same, with the first place of the first of them.

    Examples
    --------
    >>> notes = ReaderNote("rows left out", 2, "row 1 of a"), ReaderNote("rows left out", 3, "row 9 of b")
    >>> print(*joined_notes(notes))
    5 rows left out, first in row 1 of a
    """
    found: dict[str, ReaderNote] = {}
    for note in notes:
        before = found.get(note.what)
        found[note.what] = note if before is None else replace(before, count=before.count + note.count)
    return tuple(found.values())
