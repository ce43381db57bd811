"""What a step that runs a pipeline of its own shows of it."""

from __future__ import annotations

from abc import ABC, abstractmethod

from arrowstream.metrics.snapshot import Metrics


class RunsPipeline(ABC):
    """A step, while it runs, that runs a pipeline of its own, such as one that reads a table."""

    __slots__ = ()

    @property
    @abstractmethod
    def inner(self) -> Metrics | None:
        """The metrics of that pipeline, or of the one that ended last; None if none has begun. From any thread."""
