"""A step with one input, fed in drawn cuts with watermarks, whose state is moved to another process now and then."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import polars as pl
from contexts import context
from hypothesis import strategies as st

from arrowstream.core.batch import Batch, Element, Watermark
from arrowstream.operators.base import Operator, Process


@dataclass
class Fed:
    """What came out of a step: rows and marks in their order, and late rows."""

    schema: pl.Schema
    elements: list[Element] = field(default_factory=list)
    late: list[pl.DataFrame] = field(default_factory=list)
    ends: int = 0
    """Elements before the end of the stream."""

    @property
    def frames(self) -> list[pl.DataFrame]:
        return [element.polars() for element in self.elements if isinstance(element, Batch)]

    def rows(self) -> pl.DataFrame:
        return pl.concat([pl.DataFrame(schema=self.schema), *self.frames])

    def check_watermarks(self, time: str) -> None:
        """Check that no row is late for the next step, and that watermarks advance."""
        reached = -(2**62)
        for element in self.elements:
            if isinstance(element, Watermark):
                assert element.time_us >= reached
                reached = element.time_us
            elif isinstance(element, Batch):
                assert (element.polars()[time].cast(pl.Int64) >= reached).all()


def fed(
    operator: Operator,
    frame: pl.DataFrame,
    draw: Any,
    time: str | None = None,
    lateness: int = 0,
    restarts: bool = True,
) -> Fed:
    """Feed a step, with a watermark after each batch if there is a column of times."""
    process = operator.start(frame.schema, context())
    assert isinstance(process, Process)
    found = Fed(operator.output_schema(frame.schema))
    at = [0, *sorted(draw(st.lists(st.integers(0, frame.height), max_size=6))), frame.height]
    latest = None

    def take_late() -> None:
        if (late := process.take_late()) is not None:
            found.late.append(late.polars())

    for start, stop in pairwise(at):
        found.elements += process.process(Batch(frame[start:stop]))
        take_late()
        if time is not None and stop > 0:
            times = frame[:stop][time].cast(pl.Int64)
            latest = int(times.max())  # type: ignore[arg-type]
            found.elements += process.on_watermark(latest - lateness)
        if restarts and draw(st.integers(0, 2)) == 0:
            saved = list(process.snapshot())
            process = operator.start(frame.schema, context())
            assert isinstance(process, Process)
            process.restore(iter(saved))
    found.ends = len(found.elements)
    found.elements += process.finish()
    take_late()
    return found


class Scripted:
    """Draws without chance: parts of some rows, each input in its turn, and the state moved after each part.

    Parameters
    ----------
    rows
        The number of rows of a part.
    """

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self._turn = 0

    def __call__(self, strategy: Any) -> Any:
        text = repr(strategy)
        if text.startswith("lists"):
            most = int(re.findall(r"\d+", text)[1])
            return list(range(self._rows, most, self._rows))
        if text.startswith("sampled_from"):
            self._turn += 1
            choices = [int(number) for number in re.findall(r"\d+", text)]
            return choices[self._turn % len(choices)]
        return 0
