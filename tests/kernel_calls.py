"""Single calls, for the tests of kernels: what an expression is lowered to, and its value over a batch."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl
import pyarrow as pa

from arrowstream.backends.kernels.base import Kernel, Values
from arrowstream.operators.select import Select
from arrowstream.plan.lowering import lower
from arrowstream.plan.segment import Segment
from arrowstream.program import Call, Column, Expression, Literal, Program, Project


def call_of(expression: pl.Expr, schema: pl.Schema) -> Call:
    """The call that Polars' plan of this expression is lowered to."""
    step = Select.of(x=expression)
    output = pl.LazyFrame(schema=schema).select(x=expression).collect_schema()
    program = lower(Segment((step,), schema, output))
    assert isinstance(program, Program), str(program)
    last = program.steps[-1]
    assert isinstance(last, Project)
    call = dict(last.columns)["x"]
    assert isinstance(call, Call)
    return call


def evaluate(call: Expression, record: pa.RecordBatch, kernels: Mapping[str, Kernel]) -> pl.Series:
    """Its value over a record batch, computed by `kernels`, in the exact type the call announces."""
    result = _value(call, record, kernels)
    assert isinstance(result, pa.Array)
    assert result.type == call.dtype
    return pl.DataFrame(pa.record_batch({"x": result}))["x"]


def _value(expression: Expression, record: pa.RecordBatch, kernels: Mapping[str, Kernel]) -> Values:
    match expression:
        case Column(name):
            return record[name]
        case Literal(value, dtype):
            return pa.scalar(list(value) if isinstance(value, tuple) else value, dtype)
        case Call(function, arguments):
            compute = kernels[function](expression)
            assert not isinstance(compute, str), compute
            return compute(*(_value(argument, record, kernels) for argument in arguments))
        case _:
            raise AssertionError(f"no cast is expected: {expression}")
