"""A record of text that is no row, with its place."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class BadRow:
    """A record that is no row.

    Parameters
    ----------
    path
        Path of the file.
    row
        Number of the record among those of the piece, the good and the bad, counted from 0.
    line
        Number of its first line in the file, counted from 1.
    error
        Why it cannot be read.
    text
        Its bytes.
    """

    path: str
    row: int
    line: int
    error: str
    text: bytes


@dataclass(slots=True)
class PutAside:
    """Bad rows of a piece, once it was read."""

    rows: list[BadRow] = field(default_factory=list)
