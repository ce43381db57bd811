"""The segment: neighbouring expression operators, fused into one function of a frame."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from arrowstream.operators.base import Expressions


@dataclass(frozen=True, slots=True)
class Segment:
    """Expression operators in order, with the schemas of the rows before and after them."""

    steps: tuple[Expressions, ...]
    schema: pl.Schema
    output: pl.Schema

    def apply_lazy(self, frame: pl.LazyFrame) -> pl.LazyFrame:
        """Apply the steps to a lazy frame: for pushdown into file reads, and for lowering."""
        for step in self.steps:
            frame = step.apply(frame)
        return frame
