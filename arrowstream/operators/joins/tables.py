"""What a join looks rows up in: a table that is loaded when the run starts, and perhaps again later."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import polars as pl

from arrowstream.metrics.snapshot import Metrics


class TableLoad(ABC):
    """One load of a table, which a run makes."""

    __slots__ = ()

    @abstractmethod
    def rows(self) -> pl.DataFrame:
        """Return all rows of the table; called once, on a worker thread.

        Raises
        ------
        Exception
            The table cannot be read: ends the run, or, where an earlier one is in use, is logged.
        """

    def stop(self) -> None:
        """End `rows`, which is under way, with whatever it has; called from another thread."""
        return

    @property
    def metrics(self) -> Metrics | None:
        """The metrics of the pipeline that loads it, which its name is in; None if none does or has."""
        return None


class JoinTable(ABC):
    """A table that can be loaded whole."""

    __slots__ = ()

    @property
    def at_hand(self) -> bool:
        """True if `schema` runs no function of the user and connects to nothing."""
        return True

    @property
    @abstractmethod
    def schema(self) -> pl.Schema:
        """Names and types of its columns, known before it is loaded."""

    @abstractmethod
    def load(self) -> TableLoad:
        """Return a load that has not begun."""

    @abstractmethod
    def describe(self) -> str:
        """Return what it is for `explain()`."""

    @property
    def identity(self) -> str:
        """What a checkpoint knows of it: not its rows and where they come from, as it is loaded in each run."""
        return f"a table of {', '.join(self.schema)}"


class LooksUp:
    """A step that looks rows up in a table, so that each gives none, one or several."""

    __slots__ = ()

    table: JoinTable


@dataclass(frozen=True, slots=True, eq=False)
class FrameLoad(TableLoad):
    """The load of a table that is in memory already."""

    frame: pl.DataFrame

    def rows(self) -> pl.DataFrame:
        return self.frame


@dataclass(frozen=True, slots=True, eq=False)
class FrameTable(JoinTable):
    """A table that is in memory already."""

    frame: pl.DataFrame

    @property
    def schema(self) -> pl.Schema:
        return self.frame.schema

    def load(self) -> TableLoad:
        return FrameLoad(self.frame)

    def describe(self) -> str:
        return f"a frame of {', '.join(self.frame.columns)}"
