"""What the GPU does not compute is refused when a pipeline is built, with a reason for each part."""

from __future__ import annotations

from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from expression_cases.compared import segment_of

from arrowstream.backends.arrow.kernels.registry import KERNELS as ARROW_KERNELS
from arrowstream.expressions.program import (
    Call,
    Cast,
    Column,
    Expression,
    Filter,
    Literal,
    Program,
    ProgramStep,
)
from arrowstream.expressions.program import Refusal as Refused
from arrowstream.plan.lowering.lower import lower

pytestmark = [pytest.mark.once, pytest.mark.usefixtures("packages")]

I32, I64, U8, U64, F32, F64 = pa.int32(), pa.int64(), pa.uint8(), pa.uint64(), pa.float32(), pa.float64()
BOOL, TEXT, BYTES, DATE, NULL = pa.bool_(), pa.large_string(), pa.large_binary(), pa.date32(), pa.null()
STAMP, BERLIN, LENGTH = pa.timestamp("us"), pa.timestamp("us", "Europe/Berlin"), pa.duration("us")


def reasons_of(expression: Expression) -> list[str]:
    from arrowstream.gpu.expressions import ExpressionCompiler

    reasons: list[str] = []
    ExpressionCompiler(reasons).expression(expression)
    return reasons


def call(function: str, dtype: pa.DataType, *arguments: Any, options: tuple[Any, ...] = ()) -> Call:
    """A call of columns, given by their types, and constants of any other Python value."""
    given: list[Expression] = [
        argument
        if isinstance(argument, Literal)
        else Column(f"c{place}", argument)
        if isinstance(argument, pa.DataType)
        else Literal(argument, pa.scalar(argument).type if not isinstance(argument, str) else TEXT)
        for place, argument in enumerate(arguments)
    ]
    return Call(function, tuple(given), dtype, options)


def nothing(dtype: pa.DataType) -> Literal:
    return Literal(None, dtype)


REFUSALS: list[tuple[Expression, str]] = [
    (Column("c", BYTES), "column 'c': large_binary has no form on the GPU"),
    (Literal("", BYTES), "a constant of large_binary has no form on the GPU"),
    (Literal(300, U8), "the constant 300 has no exact form as uint8"),
    (call("strange", I64, I64), "strange is not offered by the GPU"),
    (call("exp", F64, F64), "exp: a GPU's result may differ in the last bit"),
    (call("add", I64, 1, 2), "add of constants only"),
    (call("add", I64, I32, I64), "add: int32 where int64 is needed"),
    (call("add", BOOL, BOOL, BOOL), "add: not for bool"),
    (call("add", STAMP, STAMP, pa.duration("ns")), "have different units"),
    (call("multiply", LENGTH, LENGTH, U64), "multiply: not for duration[us] and uint64"),
    (call("true_divide", LENGTH, LENGTH, I64), "true_divide: not for duration[us] and int64"),
    (call("true_divide", F32, I64, F32), "integers are not divided as float"),
    (call("true_divide", F64, F64, nothing(F64)), "the divisor is null"),
    (call("floor_divide", F64, F64, nothing(F64)), "the divisor is null"),
    (call("floor_divide", LENGTH, LENGTH, LENGTH), "floor_divide: not for duration[us]"),
    (call("modulo", LENGTH, LENGTH, LENGTH), "modulo: not for duration[us]"),
    (call("negate", U8, U8), "uint8 has no negative values"),
    (call("negate", BOOL, BOOL), "negate: not for bool"),
    (call("abs", BOOL, BOOL), "abs: not for bool"),
    (call("sign", LENGTH, LENGTH), "sign: not for duration[us]"),
    (call("sign", I64, I32), "sign: int32 where int64 is needed"),
    (call("clip", STAMP, STAMP, 1, options=(True, False)), "clip: not for timestamp[us]"),
    (call("clip", I64, I64, 1.5, options=(True, False)), "the limits must be constants of type int64"),
    (call("clip", U8, U8, -1, options=(True, False)), "the limits must be constants of type uint8"),
    (call("clip", U8, U8, U8, options=(True, False)), "the limits must be constants of type uint8"),
    (call("clip", I64, I64, 5, 4, options=(True, True)), "in order"),
    (call("clip", F64, F64, float("nan"), options=(True, False)), "the limits must be constants"),
    (call("sqrt", F64, TEXT), "sqrt: not for large_string"),
    (call("pow", I64, I64, 2), "pow: not for int64"),
    (call("pow", F64, F64, F64), "the exponent must be constant"),
    (call("pow", F64, F64, 7.0), "the power of 7.0: a GPU's result may differ in the last bit"),
    (call("floor", TEXT, TEXT), "floor: not for large_string"),
    (call("round", F64, F64, options=(1, "up")), "rounding by up is not known"),
    (call("round", I64, I64, options=(-1, "half_to_even")), "integers are rounded differently"),
    (call("round", F64, F64, options=(23, "half_to_even")), "more than 22 decimals"),
    (call("round", F32, F32, options=(1, "half_away_from_zero")), "round: not for float"),
    (call("degrees", F32, F32), "degrees: not for float"),
    (call("eq", BOOL, I32, I64), "int32 and int64 are compared after a cast"),
    (call("eq_missing", BOOL, I32, I64), "int32 and int64 are compared after a cast"),
    (call("is_between", BOOL, 1, I64, I64, options=("both",)), "a constant between columns"),
    (call("is_between", BOOL, I64, I32, I64, options=("both",)), "int64 and int32 are compared after a cast"),
    (call("is_between", BOOL, I64, I64, I32, options=("both",)), "int64 and int32 are compared after a cast"),
    (call("is_in", BOOL, I64, nothing(pa.list_(I64)), options=(False,)), "the members must be constant"),
    (call("is_in", BOOL, I64, Literal((1,), pa.list_(I32)), options=(False,)), "int64 among int32"),
    (call("is_in", BOOL, BOOL, Literal((True,), pa.list_(BOOL)), options=(False,)), "is_in: not for bool"),
    (call("and", BOOL, BOOL, I64), "and: int64 where bool is needed"),
    (call("and", TEXT, TEXT, TEXT), "and: not for large_string"),
    (call("is_nan", BOOL, I64), "is_nan: not for int64"),
    (call("is_finite", BOOL, I64), "is_finite: not for int64"),
    (call("coalesce", I64, I64, I32), "coalesce: int32 where int64 is needed"),
    (call("when", I64, True, I64, I64), "the predicate is constant"),
    (call("when", I64, BOOL, I32, I64), "int32 and int64 where int64 is needed"),
    (call("max_horizontal", F64, F64, F64), "versions of Polars differ in how NaN counts"),
    (call("min_horizontal", BOOL, BOOL, BOOL), "min_horizontal: not for bool"),
    (call("max_horizontal", I64, I64, TEXT), "a cast of large_string to int64 may differ"),
    (call("sum_horizontal", I64, BOOL, I64, options=(True,)), "sum_horizontal: not for bool, int64"),
    (call("sum_horizontal", F64, F64, F64, F64, options=(True,)), "added in another order"),
    (call("sum_horizontal", F64, F64, 1.0, options=(True,)), "a constant zero is not added to floats"),
    (call("sum_horizontal", I64, I64, TEXT, options=(True,)), "a cast of large_string to int64 may differ"),
    (call("sum_horizontal", I64, I64, I32, options=(True,)), "another type than what is added"),
    (call("wrapping_cast", I64, F64), "a wrapping cast of double to int64 may differ"),
    (Cast(Column("c", TEXT), I64, True), "a cast of large_string to int64 may differ"),
    (Cast(Column("c", F64), TEXT, True), "a cast of double to large_string may differ"),
    (Cast(Column("c", TEXT), BYTES, True), "a cast of large_string to large_binary may differ"),
    (Cast(Column("c", STAMP), BERLIN, True), "may differ"),
    (Cast(Column("c", DATE), BERLIN, True), "may differ"),
    (Cast(Literal(300, I64), U8, True), "a constant cannot be cast"),
    (Cast(Literal("1", TEXT), I64, True), "a cast of large_string to int64 may differ"),
    (Cast(Literal("1", TEXT), BYTES, True), "large_binary has no form on the GPU"),
    (call("str.len_bytes", pa.uint32(), BYTES), "column 'c0': large_binary has no form on the GPU"),
    (call("str.len_bytes", pa.uint32(), I64), "int64 is not a string type"),
    (call("str.starts_with", BOOL, "a", TEXT), "a function of constants only"),
    (call("str.starts_with", BOOL, TEXT, TEXT), "what to look for must be constant text"),
    (
        call("str.contains", BOOL, TEXT, "a.b", options=(False, True)),
        "regular expressions are read differently: 'a.b'",
    ),
    (call("str.contains_any", BOOL, TEXT, Literal(("a",), pa.list_(TEXT)), options=(True,)), "case folding"),
    (
        call("str.contains_any", BOOL, TEXT, Literal((None,), pa.list_(TEXT)), options=(False,)),
        "without nulls",
    ),
    (call("str.replace", TEXT, TEXT, "", "b", options=(1, True)), "not empty"),
    (call("str.replace", TEXT, TEXT, "a", "$0", options=(1, False)), "without groups"),
    (call("str.replace", TEXT, TEXT, "a", TEXT, options=(1, True)), "without groups"),
    (
        call("str.replace", TEXT, TEXT, "a+", "b", options=(1, False)),
        "regular expressions are read differently",
    ),
    (call("str.strip_chars", TEXT, TEXT, TEXT), "the characters to strip must be constant"),
    (call("str.strip_chars", TEXT, TEXT, nothing(TEXT)), "the characters to strip are a null string"),
    (call("str.strip_prefix", TEXT, TEXT, TEXT), "the prefix must be constant text"),
    (call("str.strip_suffix", TEXT, TEXT, ""), "the suffix must be constant text and not empty"),
    (call("str.slice", TEXT, TEXT, I64, 1), "offset and length must be constant"),
    (call("str.slice", TEXT, TEXT, 1, I64), "offset and length must be constant"),
    (call("str.head", TEXT, TEXT, I64), "the number of characters must be constant"),
    (call("str.tail", TEXT, TEXT, I64), "the number of characters must be constant"),
    (call("str.pad_start", TEXT, TEXT, I64, options=("x",)), "the length must be constant"),
    (call("str.pad_end", TEXT, TEXT, 2**40, options=("x",)), "the length must be constant"),
    (call("str.concat_horizontal", TEXT, TEXT, I64, options=("", True)), "cannot join int64 with strings"),
    (call("str.format", TEXT, TEXT, I64, options=("", (0, 0))), "cannot join int64 with strings"),
    (call("dt.year", I32, Literal(0, DATE), DATE), "a function of constants only"),
    (call("dt.year", I32, LENGTH), "duration[us] does not have this part"),
    (call("dt.hour", pa.int8(), DATE), "date32[day] does not have this part"),
    (call("dt.hour", pa.int8(), BERLIN), "the local time of Europe/Berlin is computed on the CPU"),
    (
        call("dt.date", DATE, BERLIN),
        "the local time of timestamp[us, tz=Europe/Berlin] is computed on the CPU",
    ),
    (call("dt.truncate", BERLIN, BERLIN, "1h"), "depends on its zone"),
    (call("dt.truncate", LENGTH, LENGTH, "1h"), "has no date"),
    (call("dt.truncate", STAMP, STAMP, TEXT), "only one constant period"),
    (call("dt.truncate", STAMP, STAMP, "1d12h"), "only one constant period"),
    (call("dt.truncate", STAMP, STAMP, "0s"), "above 0"),
    (call("dt.truncate", STAMP, STAMP, "2mo"), "counts no calendar periods"),
    (call("dt.truncate", STAMP, STAMP, "1q"), "counts no calendar periods"),
    (call("dt.truncate", STAMP, STAMP, "2w"), "not cut alike"),
    (call("dt.truncate", STAMP, STAMP, "999d"), "not cut alike"),
    (call("dt.truncate", DATE, DATE, "1h"), "not cut alike"),
    (call("dt.round", STAMP, STAMP, "1ns"), "not cut alike"),
    (call("dt.round", STAMP, STAMP, "1mo"), "no middle"),
    (call("dt.offset_by", BERLIN, BERLIN, "1d"), "depends on its zone"),
    (call("dt.offset_by", STAMP, STAMP, "1mo"), "calendar months"),
    (call("dt.offset_by", STAMP, STAMP, TEXT), "the offset must be constant"),
    (call("dt.offset_by", STAMP, STAMP, "1e"), "the offset must be constant"),
    (call("dt.offset_by", STAMP, STAMP, "1ns"), "does not fit"),
    (call("dt.offset_by", STAMP, STAMP, "999d"), "does not fit"),
    (call("dt.month_end", LENGTH, LENGTH), "has no date"),
    (call("dt.time_stamp", I64, LENGTH, options=("ms",)), "has no date"),
    (call("dt.cast_time_unit", DATE, DATE, options=("ms",)), "no unit to change"),
    (
        call("dt.replace_time_zone", STAMP, BERLIN, options=(None,)),
        "local times of timestamp[us, tz=Europe/Berlin]",
    ),
    (call("dt.replace_time_zone", BERLIN, STAMP, options=("Europe/Berlin",)), "are computed on the CPU"),
    (call("dt.total_days", I64, LENGTH, options=(True,)), "fractions of a unit"),
    (call("dt.total_days", I64, STAMP, options=(False,)), "is not a duration"),
]


@pytest.mark.parametrize(("expression", "reason"), REFUSALS, ids=[reason for _, reason in REFUSALS])
def test_is_refused_with_a_reason(expression: Expression, reason: str) -> None:
    (found,) = reasons_of(expression)
    assert reason in found


def test_every_part_that_is_refused_has_its_reason() -> None:
    outer = Call("add", (call("exp", F64, F64), Column("bytes", BYTES)), F64)
    assert reasons_of(outer) == [
        "exp: a GPU's result may differ in the last bit",
        "column 'bytes': large_binary has no form on the GPU",
    ]


def test_a_program_gives_the_reasons_of_all_its_steps_once() -> None:
    from arrowstream.gpu.program import compile_program

    schema = pa.schema([("c0", F64)])
    predicate = Call("gt", (call("exp", F64, F64), Literal(1.0, F64)), BOOL)

    class Sort(ProgramStep):
        pass

    refusal = compile_program(Program(schema, (Filter(predicate), Filter(predicate), Sort()), schema))
    assert isinstance(refusal, Refused)
    assert refusal.reasons[-1] == "a Sort step is not offered by the GPU"
    refusal = compile_program(Program(schema, (Filter(predicate), Filter(predicate)), schema))
    assert refusal == Refused(("exp: a GPU's result may differ in the last bit",))


def test_rows_without_columns_stay_in_host_memory() -> None:
    from arrowstream.gpu.program import compile_program

    schema = pl.Schema({"a": pl.Int64})
    program = lower(segment_of(pl.col("a") + 1, schema))
    assert isinstance(program, Program)
    refusal = compile_program(Program(pa.schema([]), (), program.output))
    assert refusal == Refused(("rows without columns stay in host memory",))


def test_every_function_of_the_arrow_backend_is_offered_or_refused_with_a_reason() -> None:
    from arrowstream.gpu.kernels.registry import KERNELS, REFUSED

    assert set(ARROW_KERNELS) <= set(KERNELS) | set(REFUSED)
    assert not set(KERNELS) & set(REFUSED)


def test_the_types_that_the_device_holds() -> None:
    from arrowstream.gpu.types import device_type, held_types, is_fixed_width

    assert {"int64", "large_string", "date32[day]", "timestamp[ns]", "duration[ms]"} <= set(held_types())
    assert device_type(pa.decimal128(12, 2)) is None
    assert is_fixed_width(DATE)
    assert not is_fixed_width(TEXT)
    assert not is_fixed_width(BYTES)
