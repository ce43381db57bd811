"""What went wrong with clients: counted by reason for the report, and logged."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

from arrowstream.core.notes import ReaderNote


@dataclass(slots=True)
class Losses:
    """Events of clients by what they are, such as ``messages cut short``.

    Parameters
    ----------
    logger
        Gets a warning for the first event of a kind. The others are logged at the level DEBUG, as whoever can connect
        could fill a log.
    """

    logger: logging.Logger
    _found: dict[str, tuple[int, str, bool]] = field(default_factory=dict)

    def add(self, what: str, where: str, *, lost: bool = True) -> None:
        """Count an event.

        Parameters
        ----------
        what
            What was affected, as a plural noun phrase.
        where
            The client, and the reason.
        lost
            True if bytes were lost, or may have been.
        """
        count, first, any_lost = self._found.get(what, (0, where, False))
        self._found[what] = (count + 1, first, any_lost or lost)
        self.logger.log(logging.DEBUG if count else logging.WARNING, "%s: %s", what, where)

    @property
    def notes(self) -> tuple[ReaderNote, ...]:
        """The events as notes of a report."""
        return tuple(
            ReaderNote(what, count, first, lost) for what, (count, first, lost) in self._found.items()
        )
