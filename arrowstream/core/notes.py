"""What a reader has to say about rows that it could not hand out as they were."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ReaderNote:
    """Something that happened to rows while they were read, without being an error.

    Parameters
    ----------
    what
        What happened, as the subject of a sentence in the plural: ``values of keys that are not columns``.
    count
        How often.
    first
        Where it happened first: file, row, and what was found there.
    """

    what: str
    count: int
    first: str

    def __str__(self) -> str:
        """One line for a report.

        Examples
        --------
        >>> print(ReaderNote("values left out", 1200, "row 3 (line 3) of x.ndjson, key 'z'"))
        1,200 values left out, first in row 3 (line 3) of x.ndjson, key 'z'
        """
        return f"{self.count:,} {self.what}, first in {self.first}"
