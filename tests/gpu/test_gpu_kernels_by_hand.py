"""Calls that Polars' optimiser turns round or folds, but that a program may hold: as on the Arrow backend."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from expression_cases.compared import assert_close
from gpu.tried_backends import OnGpu, fake_gpu

from arrowstream.backends.arrow.program import compile_program
from arrowstream.core.batch import Batch
from arrowstream.expressions.program import (
    Call,
    Cast,
    Column,
    Expression,
    Filter,
    Literal,
    Program,
    ProgramStep,
    Project,
    Refusal,
)

pytestmark = pytest.mark.once

I8, I64, U64, F32, F64 = pa.int8(), pa.int64(), pa.uint64(), pa.float32(), pa.float64()
BOOL, TEXT, DATE, STAMP, LENGTH = (
    pa.bool_(),
    pa.large_string(),
    pa.date32(),
    pa.timestamp("us"),
    pa.duration("us"),
)
NAN = float("nan")

RECORD = pa.record_batch(
    {
        "i": pa.array([-7, 0, None, 2**63 - 1, -(2**63)], I64),
        "x": pa.array([NAN, 1.5, -0.0, None, float("inf")], F64),
        "f": pa.array([NAN, 1.5, -0.0, None, 3.0], F32),
        "p": pa.array([True, False, None, True, False], BOOL),
        "s": pa.array(["a", "", None, "é", "b"], TEXT),
        "t": pa.array([None, "x", None, "y", ""], TEXT),
        "d": pa.array([0, -1, None, 19_000, 7], DATE),
        "n": pa.array([1, None, 0, 2**64 - 1, 5], U64),
    }
)


def column(name: str) -> Column:
    return Column(name, RECORD.schema.field(name).type)


W, X, F, P, S, T, D, N = map(column, RECORD.schema.names)


def call(function: str, dtype: pa.DataType, *arguments: Expression, options: tuple[Any, ...] = ()) -> Call:
    return Call(function, arguments, dtype, options)


def comparisons() -> list[Call]:
    constants = [Literal(value, F64) for value in (NAN, 1.5, 0.0, None)]
    return [
        call(name, BOOL, *sides)
        for name in ("eq", "ne", "lt", "le", "gt", "ge", "eq_missing", "ne_missing")
        for constant in constants
        for sides in ((X, constant), (constant, X))
    ]


CALLS: list[Expression] = [
    *comparisons(),
    call("lt", BOOL, Literal(0, I64), W),
    call("eq", BOOL, Literal("a", TEXT), S),
    call("eq_missing", BOOL, S, Literal("a", TEXT)),
    call("eq_missing", BOOL, W, Literal(None, I64)),
    call("add", I64, W, Cast(Literal(3, I8), I64, True)),
    call("add", I64, W, Cast(Literal(None, pa.null()), I64, True)),
    call("eq", BOOL, D, Cast(Literal(0, STAMP), DATE, True)),
    call("max_horizontal", I64, Literal(1, I64), Literal(2, I64), W),
    call("min_horizontal", I64, Literal(None, I64), W, Literal(2, I64)),
    call("sum_horizontal", I64, Literal(None, I64), W, Literal(2, I64), options=(True,)),
    call("sum_horizontal", I64, W, Literal(None, I64), options=(False,)),
    call("sum_horizontal", I64, *(Literal(number, I64) for number in range(50)), W, options=(False,)),
    call("coalesce", I64, Literal(None, I64), W, Literal(2, I64)),
    call("coalesce", I64, Literal(1, I64), W),
    call("coalesce", I64, W, Literal(None, I64)),
    call("when", I64, P, Literal(1, I64), Literal(None, I64)),
    call("when", TEXT, P, Literal("yes", TEXT), S),
    call("is_in", BOOL, S, Literal((), pa.list_(TEXT)), options=(True,)),
    call("floor_divide", I64, W, Literal(None, I64)),
    call("modulo", I64, Literal(7, I64), W),
    call("floor_divide", U64, Literal(7, U64), N),
    call("true_divide", F64, Literal(7, I64), W),
    call("true_divide", F64, Literal(None, F64), X),
    call("subtract", LENGTH, D, Literal(None, DATE)),
    call("subtract", LENGTH, Literal(5, DATE), D),
    call("str.concat_horizontal", TEXT, S, options=("-", True)),
    call("str.concat_horizontal", TEXT, S, options=("-", False)),
    call("str.concat_horizontal", TEXT, S, Literal(None, TEXT), T, options=("é-", True)),
    call("str.concat_horizontal", TEXT, S, Literal("z", TEXT), T, options=("", False)),
    call("str.format", TEXT, S, T, options=("é-", (2, 3))),
    call("str.format", TEXT, S, options=("<>", (1,))),
    call("str.contains", BOOL, S, Literal(r"a", TEXT), options=(False, True)),
    call("str.find", pa.uint32(), T, Literal("x", TEXT), options=(False, True)),
    call("str.slice", TEXT, S, Literal(0, I64), Literal(2**62, I64)),
    call("wrapping_cast", I64, N),
]


@pytest.fixture(scope="module")
def gpu(request: pytest.FixtureRequest) -> Any:
    request.getfixturevalue("packages")
    with fake_gpu() as tried:
        yield tried


def outcomes(
    gpu: OnGpu, steps: tuple[ProgramStep, ...], output: pa.Schema
) -> tuple[pa.RecordBatch, pa.RecordBatch]:
    program = Program(RECORD.schema, steps, output)
    evaluate = compile_program(program)
    assert not isinstance(evaluate, Refusal), str(evaluate)
    compute = gpu.compiled(program)
    assert not isinstance(compute, Refusal), str(compute)
    found = compute(RECORD).rows
    assert found is not None
    return found, evaluate(Batch(RECORD)).arrow()


@pytest.mark.parametrize("expression", CALLS, ids=str)
def test_a_call_is_as_on_the_arrow_backend(gpu: OnGpu, expression: Expression) -> None:
    output = pa.schema([("r", expression.dtype)])
    found, expected = outcomes(gpu, (Project((("r", expression),)),), output)
    (mine,), (theirs,) = found.columns, expected.columns
    mine.validate(full=True)
    if pa.types.is_floating(mine.type):
        assert mine.is_valid().equals(theirs.is_valid())
        assert_close(mine.drop_null().to_numpy(), theirs.drop_null().to_numpy(), 0)
    else:
        assert mine.equals(theirs)


@pytest.mark.parametrize("constant", [1, -1.5, "x", None, True])
def test_a_constant_is_a_column_of_its_own(gpu: OnGpu, constant: Any) -> None:
    dtype = TEXT if isinstance(constant, str | None) else pa.scalar(constant).type
    steps = (Project((("r", Literal(constant, dtype)), ("i", W))),)
    found, expected = outcomes(gpu, steps, pa.schema([("r", dtype), ("i", I64)]))
    assert found.equals(expected)


@pytest.mark.parametrize(
    "predicate", [P, Literal(True, BOOL), Literal(False, BOOL), Literal(None, BOOL)], ids=str
)
def test_a_bare_column_or_constant_filters(gpu: OnGpu, predicate: Expression) -> None:
    found, expected = outcomes(gpu, (Filter(predicate),), RECORD.schema)
    assert found.num_rows == expected.num_rows
    assert found.drop_columns(["x", "f"]).equals(expected.drop_columns(["x", "f"]))
