"""`TableHistory`: the versions of a table that a source reads, and the data files of each."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Generic, Protocol, TypeVar

from arrowstream.core.batch import Batch


class ReadableFile(Protocol):
    """A data file of a table."""

    @property
    def path(self) -> str:
        """Where it is: files are read in the order of their paths."""


File = TypeVar("File", bound=ReadableFile)


class TableHistory(ABC, Generic[File]):
    """The versions of a table. A version is a number; `open` is the first call."""

    @abstractmethod
    def __str__(self) -> str:
        """Return the table, for errors: ``the Delta table x``."""

    @abstractmethod
    def reading(self) -> AbstractContextManager[None]:
        """Raise failures in the block as errors that name the table."""

    @abstractmethod
    def open(self, version: int | None) -> tuple[str, int]:
        """Load a version of the table, the newest one for None, and return the table's id and its number."""

    @abstractmethod
    def has(self, version: int) -> bool:
        """Return whether the table can have had a version."""

    @abstractmethod
    def later(self, version: int) -> Sequence[int]:
        """Return the versions after one, in their order.

        Raises
        ------
        SourceError
            They are not known any more.
        """

    @abstractmethod
    def files(self, version: int) -> list[File]:
        """Return all files of a version in the order of their paths."""

    @abstractmethod
    def added(self, version: int) -> list[File]:
        """Return the files that a version has added to the one before it, in the order of their paths.

        Raises
        ------
        SourceError
            It has removed or changed rows.
        SchemaError
            It has changed the columns.
        """

    @abstractmethod
    def rows(self, file: File, start: int) -> Iterator[Batch]:
        """Yield the rows of a file after the first `start`."""

    def close(self) -> None:
        """Release all resources."""
        return
