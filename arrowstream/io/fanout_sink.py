"""Several sinks, each of which gets every batch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import polars as pl

from arrowstream.core.step_context import StepContext
from arrowstream.errors import PlanError
from arrowstream.io.sink import BlockingWriter, SinkSpec, Writer


@dataclass(frozen=True, slots=True)
class FanoutSink(SinkSpec):
    """Each of `parts` gets every batch; the slowest sets the pace, but for those that are best effort.

    Parameters
    ----------
    sinks
        At least one sink; a fan-out among them counts as its parts.

    Raises
    ------
    PlanError
        There is none, or one is no sink.
    """

    sinks: tuple[SinkSpec, ...]

    @classmethod
    def of(cls, sinks: Sequence[SinkSpec], more: Sequence[object] = ()) -> FanoutSink:
        """The fan-out to these sinks; `more` are arguments that should have been in the list."""
        flat: list[SinkSpec] = []
        if more or not isinstance(sinks, Iterable):
            raise _no_list(", ".join(type(sink).__name__ for sink in (sinks, *more)))
        for sink in sinks:
            if not isinstance(sink, SinkSpec):
                raise _no_list(f"a list with {type(sink).__name__} in it")
            flat += sink.parts or (sink,)
        if not flat:
            raise PlanError("fanout has no sink", expected="at least one")
        return cls(tuple(flat))

    @property
    def parts(self) -> tuple[SinkSpec, ...]:
        return self.sinks

    @property
    def label(self) -> str:
        return f"fan-out to {len(self.sinks)} sinks"

    @property
    def guarantee(self) -> str:
        return "; ".join(sink.guarantee for sink in self.sinks)

    def check(self, schema: pl.Schema) -> None:
        for sink in self.sinks:
            sink.check(schema)

    def open(self, schema: pl.Schema, context: StepContext) -> Writer | BlockingWriter:
        raise AssertionError("the planner opens the parts of a fan-out")


def _no_list(found: str) -> PlanError:
    return PlanError(
        "fanout takes sinks", expected="a list of sinks", found=found, hint="write Sink.fanout([a, b])"
    )
