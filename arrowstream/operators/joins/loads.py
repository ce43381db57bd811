"""What a process loads before its first batch, such as the table of a join."""

from __future__ import annotations

from abc import ABC, abstractmethod

from arrowstream.core.notes import ReaderNote


class Loads(ABC):
    """An `AsyncProcess` that loads something before any source of the run is read.

    So a gentle stop can give it up, and does not wait for rows that nobody asks for, maybe for minutes.
    """

    __slots__ = ()

    @abstractmethod
    async def load(self) -> None:
        """Load what `process` needs; called before `open`.

        A gentle stop cancels it. Then no batch comes, as no source is read.
        """

    @property
    @abstractmethod
    def notes(self) -> tuple[ReaderNote, ...]:
        """What the report says of a load that was given up; read before `close`."""
