"""The Arrow backend: steps over records, constants, every type passed through, and what it refuses."""

from __future__ import annotations

from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kernel_calls import step_by_step
from strategies import cuts, frames

from arrowstream.backends.arrow.backend import ArrowBackend
from arrowstream.backends.arrow.kernels import arithmetic, comparison, conversion, logic, mathematics
from arrowstream.backends.arrow.kernels.conversion import convert
from arrowstream.backends.arrow.kernels.registry import KERNELS
from arrowstream.backends.base import Evaluator
from arrowstream.core.batch import Batch, to_record
from arrowstream.core.position import Position
from arrowstream.expressions.program import (
    Call,
    Cast,
    Column,
    Expression,
    Filter,
    Literal,
    Program,
    Project,
    Refusal,
)
from arrowstream.operators.base import Expressions
from arrowstream.operators.cast import Cast as CastStep
from arrowstream.operators.filter import Filter as FilterStep
from arrowstream.operators.select import Select
from arrowstream.operators.with_columns import WithColumns
from arrowstream.plan.lowering.lower import lower
from arrowstream.plan.segment import Segment

INT, FLOAT, TEXT, BOOL = pa.int64(), pa.float64(), pa.large_string(), pa.bool_()
MOMENT, LENGTH = pa.timestamp("us"), pa.duration("us")
X, Y, S = Column("x", INT), Column("y", FLOAT), Column("s", TEXT)
INPUT = pa.schema([("x", INT), ("y", FLOAT), ("s", TEXT)])
RECORD = pa.record_batch([[1, 2, None], [1.5, None, -0.0], ["a", "é", None]], schema=INPUT)


class Unused:
    """The Arrow backend never looks at the segment."""

    def apply_lazy(self, frame: pl.LazyFrame) -> pl.LazyFrame:
        raise AssertionError


def prepare(*steps: Project | Filter, output: pa.Schema = INPUT) -> Evaluator | Refusal:
    return ArrowBackend().prepare(Unused(), Program(INPUT, steps, output))


def run(*steps: Project | Filter, output: pa.Schema = INPUT) -> pa.RecordBatch:
    evaluate = prepare(*steps, output=output)
    assert callable(evaluate), evaluate
    record = evaluate(Batch(RECORD)).arrow()
    assert record.schema.equals(output, check_metadata=True)
    return record


def project(*columns: Expression) -> tuple[Project, pa.Schema]:
    named = tuple((f"c{place}", column) for place, column in enumerate(columns))
    return Project(named), pa.schema([(name, column.dtype) for name, column in named])


def refusal(call: Expression) -> str:
    step, output = project(call)
    found = prepare(step, output=output)
    assert isinstance(found, Refusal), "not refused"
    return str(found)


def segment_of(schema: pl.Schema, *steps: Expressions) -> Segment:
    bare = Segment(steps, schema, schema)
    return Segment(steps, schema, bare.apply_lazy(pl.LazyFrame(schema=schema)).collect_schema())


def test_a_refused_program_stays_refused() -> None:
    refused = Refusal(("no",))
    assert ArrowBackend().prepare(Unused(), refused) is refused


def test_constants_fill_a_column() -> None:
    step, output = project(Literal(7, INT), Literal(None, TEXT), Cast(Literal(3, INT), FLOAT, True), X)
    assert run(step, output=output).to_pydict() == {
        "c0": [7, 7, 7],
        "c1": [None, None, None],
        "c2": [3.0, 3.0, 3.0],
        "c3": [1, 2, None],
    }


def test_columns_are_put_in_their_places() -> None:
    output = pa.schema([("x", INT), ("y", INT), ("s", TEXT), ("z", INT)])
    twice = Call("add", (X, X), INT)
    columns = (("x", X), ("y", twice), ("s", S), ("z", X))
    assert run(Project(columns), output=output).to_pydict() == {
        "x": [1, 2, None],
        "y": [2, 4, None],
        "s": ["a", "é", None],
        "z": [1, 2, None],
    }


def test_nothing_to_do() -> None:
    assert run() is RECORD
    assert run(Project((("x", X), ("y", Y), ("s", S)))).equals(RECORD)


@pytest.mark.parametrize(("value", "rows"), [(True, 3), (False, 0), (None, 0)])
def test_a_constant_filter(value: bool | None, rows: int) -> None:
    assert run(Filter(Literal(value, BOOL))).num_rows == rows


def test_a_batch_keeps_where_it_came_from() -> None:
    evaluate = prepare(Filter(Call("gt", (X, Literal(1, INT)), BOOL)))
    assert callable(evaluate)
    position = Position("here", 0, 3)
    result = evaluate(Batch(RECORD, position, 5))
    assert (result.position, result.ingest_ns, result.num_rows) == (position, 5, 1)


def test_metadata_of_the_output_is_kept() -> None:
    output = pa.schema([INPUT.field("x").with_metadata({"unit": "m"}), *list(INPUT)[1:]])
    again = Project((("x", Call("add", (X, X), INT)), ("y", Y), ("s", S)))
    assert run(again, output=output).schema.field("x").metadata == {b"unit": b"m"}


@pytest.mark.parametrize("nested", [False, True])
def test_fields_that_differ_in_metadata_only_are_told_apart(nested: bool) -> None:
    seen = []
    for category in "ab":
        kind = pl.Enum([category])
        schema = pl.Schema({"i": pl.Int64(), "kind": pl.List(kind) if nested else kind})
        segment = segment_of(schema, WithColumns.of(again=pl.col("kind")))
        program = lower(segment)
        assert isinstance(program, Program), program
        evaluate = ArrowBackend().prepare(segment, program)
        assert callable(evaluate), evaluate
        record = evaluate(Batch(to_record(pl.DataFrame(schema=schema)))).arrow()
        assert record.schema.equals(program.output, check_metadata=True)
        seen.append(record.schema)
    assert not seen[0].equals(seen[1], check_metadata=True)


def test_metadata_comes_through_several_steps() -> None:
    schema = pl.Schema({"i": pl.Int64(), "kind": pl.Enum(["b", "a"])})
    segment = segment_of(
        schema,
        CastStep.of({"i": pl.Int16}),
        Select.of(pl.all(), none=pl.lit(None, pl.Enum(["c"]))),
        CastStep.of({"i": pl.Int8}),
    )
    program = lower(segment)
    assert isinstance(program, Program), program
    evaluate = ArrowBackend().prepare(segment, program)
    assert callable(evaluate), evaluate
    frame = pl.DataFrame({"i": [1], "kind": ["a"]}, schema=schema)
    record = evaluate(Batch(to_record(frame))).arrow()
    assert record.schema.equals(program.output, check_metadata=True)
    assert pl.DataFrame(pl.from_arrow(record)).equals(step_by_step(segment, frame))


def test_metadata_that_no_step_could_keep() -> None:
    output = pa.schema([INPUT.field("x").with_metadata({"unit": "m"}), *list(INPUT)[1:]])
    kept = run(Filter(Call("gt", (X, Literal(1, INT)), BOOL)), output=output)
    assert kept.to_pydict() == {"x": [2], "y": [None], "s": ["é"]}


@given(st.data())
def test_every_type_passes_through(data: st.DataObject) -> None:
    """Filters, projections and constants over any types and any cut give what Polars gives."""
    frame = data.draw(frames()).with_row_index("row")
    first = frame.columns[-1]
    segment = segment_of(
        frame.schema,
        WithColumns.of(twice=pl.col("row") + pl.col("row"), again=pl.col(first), one=pl.lit(1)),
        FilterStep.of(pl.col("row") > 1),
        Select.of(pl.all().exclude("row"), pl.col("row")),
    )
    program = lower(segment)
    assert isinstance(program, Program), program
    evaluate = ArrowBackend().prepare(segment, program)
    assert callable(evaluate), evaluate
    found = [evaluate(Batch(to_record(part))).arrow() for part in data.draw(cuts(frame))]
    expected = step_by_step(segment, frame)
    for record in found:
        record.validate(full=True)
        assert record.schema.equals(program.output, check_metadata=True)
    assert pl.concat([pl.DataFrame(pl.from_arrow(record)) for record in found]).equals(expected)


def test_all_reasons_are_given_once() -> None:
    unknown = Call("sha256", (S,), TEXT)
    step, output = project(unknown, unknown, Call("gt", (S, X), BOOL))
    found = prepare(step, output=output)
    assert isinstance(found, Refusal)
    assert found.reasons == (
        "sha256 is not offered by Arrow",
        "gt: large_string and int64 are compared after a cast",
    )


def lit(value: Any, dtype: pa.DataType = INT) -> Literal:
    return Literal(value, dtype)


def col(dtype: pa.DataType) -> Column:
    return Column("x", dtype)


COMPUTED = Call("negate", (lit(1),), INT)
COMPUTED_FLOAT = Call("negate", (Literal(1.0, FLOAT),), FLOAT)
"""A constant whose value only running it would tell."""
INT8, UINT8, FLOAT32, DATE = pa.int8(), pa.uint8(), pa.float32(), pa.date32()
ZONED, DECIMAL = pa.timestamp("us", "UTC"), pa.decimal128(9, 2)
LISTS, STRUCT = pa.large_list(INT), pa.struct([("a", INT)])
CODED = pa.dictionary(pa.uint32(), TEXT)

REFUSED: list[tuple[str, Expression]] = [
    ("constants only", Call("add", (lit(1), lit(2)), INT)),
    ("has no exact form", lit(300, INT8)),
    ("cannot be cast", Cast(lit(300), INT8, True)),
    ("may differ", Cast(Y, TEXT, True)),
    ("may differ", Cast(S, INT, True)),
    ("may differ", Cast(col(ZONED), MOMENT, True)),
    ("may differ", Cast(col(ZONED), DATE, True)),
    ("may differ", Cast(col(DATE), ZONED, True)),
    ("may differ", Cast(col(DATE), INT, True)),
    ("may differ", Call("wrapping_cast", (Y,), INT8)),
    ("not for bool", Call("add", (col(BOOL), col(BOOL)), BOOL)),
    ("int8 where int64 is needed", Call("add", (X, col(INT8)), INT)),
    ("different units", Call("add", (col(MOMENT), col(pa.duration("ms"))), MOMENT)),
    ("different units", Call("add", (col(pa.duration("ms")), col(MOMENT)), MOMENT)),
    ("different units", Call("subtract", (col(MOMENT), col(pa.duration("ms"))), MOMENT)),
    ("not for", Call("multiply", (col(LENGTH), Y), LENGTH)),
    ("not for duration", Call("true_divide", (col(LENGTH), X), LENGTH)),
    ("not divided as float", Call("true_divide", (col(INT8), col(INT8)), FLOAT32)),
    ("not known", Call("true_divide", (Y, COMPUTED), FLOAT)),
    ("not known", Call("add", (Y, COMPUTED_FLOAT), FLOAT)),
    ("not known", Call("subtract", (COMPUTED_FLOAT, Y), FLOAT)),
    ("not known", Call("floor_divide", (Y, Literal(None, FLOAT)), FLOAT)),
    ("not for decimal", Call("modulo", (col(DECIMAL), col(DECIMAL)), DECIMAL)),
    ("int8 where", Call("floor_divide", (X, col(INT8)), INT)),
    ("int8 where", Call("modulo", (X, col(INT8)), INT)),
    ("no negative values", Call("negate", (col(UINT8),), UINT8)),
    ("not for decimal", Call("abs", (col(DECIMAL),), DECIMAL)),
    ("not for decimal", Call("sign", (col(DECIMAL),), DECIMAL)),
    ("not for large_string", Call("clip", (S, lit("a", TEXT), lit("b", TEXT)), TEXT, (True, True))),
    ("must be constants", Call("clip", (X, X, lit(1)), INT, (True, True))),
    ("must be constants", Call("clip", (X, lit(2), lit(1)), INT, (True, True))),
    ("must be constants", Call("clip", (X, lit(1.5, FLOAT)), INT, (True, False))),
    ("must be constants", Call("clip", (X, lit(None)), INT, (True, False))),
    ("must be constants", Call("clip", (col(INT8), lit(300)), INT8, (True, False))),
    ("not for large_string", Call("sqrt", (S,), FLOAT)),
    ("above 1", Call("log", (Y, Y), FLOAT)),
    ("above 1", Call("log", (Y, lit(0.5, FLOAT)), FLOAT)),
    ("not for int64", Call("pow", (X, lit(2)), INT)),
    ("must be constant", Call("pow", (Y, Y), FLOAT)),
    ("multiplied out", Call("pow", (Y, lit(5)), FLOAT)),
    ("not for decimal", Call("floor", (col(DECIMAL),), DECIMAL)),
    ("not for decimal", Call("round", (col(DECIMAL),), DECIMAL, (2, "half_to_even"))),
    ("not known", Call("round", (Y,), FLOAT, (2, "half_up"))),
    ("rounded differently", Call("round", (X,), INT, (-1, "half_to_even"))),
    ("not for float", Call("round", (col(FLOAT32),), FLOAT32, (1, "half_away_from_zero"))),
    ("more than 22 decimals", Call("round", (Y,), FLOAT, (23, "half_to_even"))),
    ("not for float", Call("degrees", (col(FLOAT32),), FLOAT32)),
    ("no order", Call("eq", (col(CODED), col(CODED)), BOOL)),
    ("after a cast", Call("eq_missing", (X, Y), BOOL)),
    ("after a cast", Call("is_between", (X, Y, X), BOOL, ("both",))),
    ("after a cast", Call("is_between", (X, X, Y), BOOL, ("both",))),
    ("must be constant", Call("is_in", (X, col(LISTS)), BOOL, (False,))),
    ("looked up after a cast", Call("is_in", (Y, Literal((1,), LISTS)), BOOL, (False,))),
    ("not for bool", Call("is_in", (col(BOOL), Literal((True,), pa.large_list(BOOL))), BOOL, (False,))),
    ("where bool is needed", Call("and", (col(BOOL), X), BOOL)),
    ("not for double", Call("or", (Y, Y), FLOAT)),
    ("not for int64", Call("is_nan", (X,), BOOL)),
    ("not for struct", Call("fill_null", (col(STRUCT), col(STRUCT)), STRUCT)),
    ("int8 where", Call("coalesce", (X, col(INT8)), INT)),
    ("predicate is constant", Call("when", (lit(True, BOOL), X, X), INT)),
    ("not for struct", Call("when", (col(BOOL), col(STRUCT), col(STRUCT)), STRUCT)),
    ("is needed", Call("when", (col(BOOL), Y, X), INT)),
    ("NaN", Call("max_horizontal", (Y, Y), FLOAT)),
    ("not for bool", Call("min_horizontal", (col(BOOL), col(BOOL)), BOOL)),
    ("may differ", Call("min_horizontal", (S, X), INT)),
    ("with a time zone", Call("max_horizontal", (col(ZONED), lit(0, ZONED)), ZONED)),
    ("not for bool", Call("sum_horizontal", (col(BOOL), col(BOOL)), pa.uint32(), (True,))),
    ("another order", Call("sum_horizontal", (Y, Y, Y), FLOAT, (True,))),
    ("constant zero", Call("sum_horizontal", (Y, Literal(0.0, FLOAT)), FLOAT, (True,))),
    ("another type", Call("sum_horizontal", (Y, Y), pa.float32(), (True,))),
    ("another type", Call("sum_horizontal", (X, col(INT8)), INT, (True,))),
]


@pytest.mark.parametrize(("reason", "expression"), REFUSED, ids=lambda part: str(part)[:60])
def test_refusals_say_why(reason: str, expression: Expression) -> None:
    assert reason in refusal(expression)


def test_a_cast_to_its_own_type_changes_nothing() -> None:
    evaluate = convert(INT, INT, True)
    assert callable(evaluate)
    values = pa.array([1])
    assert evaluate(values) is values


def test_the_registry_has_every_kernel() -> None:
    parts = (arithmetic, mathematics, comparison, logic, conversion)
    assert sum(len(part.KERNELS) for part in parts) >= 35
    assert all(part.KERNELS.items() <= KERNELS.items() for part in parts)
    assert len(KERNELS) >= 100
