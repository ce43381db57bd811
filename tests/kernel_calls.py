"""Single calls, for the tests of kernels: what an expression is lowered to, and how Arrow computes it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polars as pl
import pyarrow as pa

from arrowstream.backends.arrow.backend import ArrowBackend
from arrowstream.backends.arrow.kernels.registry import KERNELS
from arrowstream.core.batch import Batch
from arrowstream.expressions.program import Call, Column, Literal, Program, Project, Refusal
from arrowstream.operators.select import Select
from arrowstream.plan.lowering.lower import lower
from arrowstream.plan.segment import Segment

Computed = Callable[[pa.RecordBatch], pl.Series]


def call_of(expression: pl.Expr, schema: pl.Schema) -> Call:
    """The call that Polars' plan of this expression is lowered to."""
    step = _program(_segment(expression, schema)).steps[-1]
    assert isinstance(step, Project)
    ((_, call),) = step.columns
    assert isinstance(call, Call)
    return call


def in_arrow(expression: pl.Expr, schema: pl.Schema) -> Computed:
    """The expression as the Arrow backend computes it for a record batch of this schema."""
    segment = _segment(expression, schema)
    program = _program(segment)
    evaluate = ArrowBackend().prepare(segment, program)
    assert not isinstance(evaluate, Refusal), str(evaluate)

    def compute(record: pa.RecordBatch) -> pl.Series:
        batch = evaluate(Batch(record))
        assert batch.arrow().schema.equals(program.output, check_metadata=True)
        batch.arrow().validate(full=True)
        return batch.polars()["x"]

    return compute


def evaluate(call: Call, record: pa.RecordBatch) -> pl.Series:
    """A call that was written by hand, of columns and constants only, in the exact type it announces."""
    compute = KERNELS[call.function](call)
    assert not isinstance(compute, str), compute
    values = []
    for argument in call.arguments:
        assert isinstance(argument, Column | Literal)
        is_column = isinstance(argument, Column)
        values.append(record[argument.name] if is_column else pa.scalar(argument.value, argument.dtype))
    result = compute(*values)
    assert result.type == call.dtype
    return pl.DataFrame(pa.record_batch({"x": result}))["x"]


def _segment(expression: pl.Expr, schema: pl.Schema) -> Segment:
    output = pl.LazyFrame(schema=schema).select(x=expression).collect_schema()
    return Segment((Select.of(x=expression),), schema, output)


def _program(segment: Segment) -> Program:
    program = lower(segment)
    assert isinstance(program, Program), str(program)
    return program


def step_by_step(segment: Any, frame: pl.DataFrame) -> pl.DataFrame:
    """What Polars makes of a segment when every step runs over all rows before the next."""
    for step in segment.steps:
        frame = step.apply(frame)
    return frame
