"""The logical pipeline: what the user built, before it is checked and placed."""

from __future__ import annotations

from dataclasses import dataclass, replace

from arrowstream.errors import PlanError
from arrowstream.io.base import SinkSpec, SourceSpec
from arrowstream.operators.base import Expressions, Operator


@dataclass(frozen=True, slots=True)
class Step:
    """One operator, and the backend the user pinned it to (``"auto"``: the cost model chooses)."""

    operator: Expressions | Operator
    backend: str = "auto"


@dataclass(frozen=True, slots=True)
class Graph:
    """A source, steps and a sink; every method gives a new graph."""

    name: str
    source: SourceSpec | None = None
    steps: tuple[Step, ...] = ()
    sink: SinkSpec | None = None

    def with_source(self, source: SourceSpec) -> Graph:
        """This graph reading from `source`."""
        if not isinstance(source, SourceSpec):
            raise PlanError(
                "source() needs a source",
                expected="Source.from_file(...), Source.from_frame(...), ...",
                found=type(source).__name__,
                hint="write .source(Source.from_file(path)), or .source(Source.from_frame(frame))",
            )
        if self.source is not None:
            raise PlanError("a pipeline has one source", found="a second call of source()")
        return replace(self, source=source)

    def with_step(self, operator: Expressions | Operator) -> Graph:
        """This graph with one more step at its end."""
        if self.source is None:
            raise PlanError(
                f"{operator.name}() before source()", hint="begin with Pipeline.builder().source(...)"
            )
        if self.sink is not None:
            raise PlanError(f"{operator.name}() after sink()", hint="sink() comes last, before build()")
        return replace(self, steps=(*self.steps, Step(operator)))

    def with_backend(self, backend: str) -> Graph:
        """This graph with its last step pinned to `backend`."""
        if not self.steps or not isinstance(self.steps[-1].operator, Expressions):
            raise PlanError(
                f"backend({backend!r}) has no step of expressions before it",
                expected="select, with_columns, filter, ... directly before backend()",
                found=self.steps[-1].operator.name if self.steps else "no step",
            )
        return replace(self, steps=(*self.steps[:-1], replace(self.steps[-1], backend=backend)))

    def with_sink(self, sink: SinkSpec) -> Graph:
        """This graph writing to `sink`."""
        if not isinstance(sink, SinkSpec):
            raise PlanError(
                "sink() needs a sink",
                expected="Sink.to_file(...), Sink.to_fn(...), ...",
                found=type(sink).__name__,
            )
        if self.source is None:
            raise PlanError("sink() before source()", hint="begin with Pipeline.builder().source(...)")
        if self.sink is not None:
            raise PlanError("a pipeline has one sink", found="a second call of sink()")
        return replace(self, sink=sink)
