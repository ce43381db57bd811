"""The steps that belong to a source: its messages decoded, and its event time."""

from __future__ import annotations

from dataclasses import astuple, replace

from arrowstream.errors import PlanError
from arrowstream.io.source import EventTimeSource, SourceSpec
from arrowstream.operators.base import Operator
from arrowstream.operators.messages.decode import Decode
from arrowstream.operators.with_event_time import Watermarks


def source_steps(source: SourceSpec | EventTimeSource) -> tuple[SourceSpec, tuple[Operator, ...]]:
    """Return the source itself, and the steps that follow it.

    Raises
    ------
    PlanError
        `source` is not a source.
    """
    if not isinstance(source, SourceSpec | EventTimeSource):
        raise PlanError(
            "source() needs a source",
            expected="Source.from_file(...), Source.from_frame(...), ...",
            found=type(source).__name__,
            hint="write .source(Source.from_file(path)), or .source(Source.from_frame(frame))",
        )
    timed = isinstance(source, EventTimeSource)
    spec = source.source if isinstance(source, EventTimeSource) else source
    steps: list[Operator] = []
    if spec.decoder is not None:
        steps.append(Decode(spec.decoder, by_partition=timed and spec.partitioned))
    if isinstance(source, EventTimeSource):
        steps.append(replace(Watermarks(*astuple(source.time)), by_partition=spec.partitioned))
    return spec, tuple(steps)
