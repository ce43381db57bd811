"""The line that describes a step, and what of it a checkpoint knows."""

from __future__ import annotations

from abc import ABC, abstractmethod


class Described(ABC):
    """A step that has a line in `explain()`."""

    __slots__ = ()

    @abstractmethod
    def describe(self) -> str:
        """Return one line for `explain()`, the same in every run, such as ``filter(col("x") > 100)``."""

    @property
    def identity(self) -> str:
        """The line without what may change between two runs of one job, by which a checkpoint knows the step.

        That is what changes neither the meaning of rows nor the form of saved state, such as a rate.
        """
        return self.describe()

    @property
    def remark(self) -> str | None:
        """A further line for `explain()`, on where the built step runs; None for nothing."""
        return None
