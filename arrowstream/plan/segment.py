"""A segment: neighbouring expression operators, fused into one function of a frame."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from arrowstream.operators.base import Expressions


@dataclass(frozen=True, slots=True)
class Segment:
    """Expression operators in order, with the schemas before and after them."""

    steps: tuple[Expressions, ...]
    schema: pl.Schema
    output: pl.Schema

    def apply_lazy(self, frame: pl.LazyFrame) -> pl.LazyFrame:
        """The segment over a lazy frame, to push it into file reads and to lower it to a program."""
        for step in self.steps:
            frame = step.apply(frame)
        return frame
