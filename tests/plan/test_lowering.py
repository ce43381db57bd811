"""Lowering: what Polars' plan holds is in the program, or the segment is refused with every reason."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from arrowstream.backends.arrow.backend import ArrowBackend
from arrowstream.core.batch import Batch, to_record
from arrowstream.expressions.program import Call, Cast, Column, Filter, Literal, Program, Project, Refusal
from arrowstream.operators.base import Expressions
from arrowstream.operators.cast import Cast as CastStep
from arrowstream.operators.drop import Drop
from arrowstream.operators.explode import Explode
from arrowstream.operators.filter import Filter as FilterStep
from arrowstream.operators.rename import Rename
from arrowstream.operators.select import Select
from arrowstream.operators.with_columns import WithColumns
from arrowstream.plan.lowering import polars_plan
from arrowstream.plan.lowering.expressions import Unlowered, _two_operations, literal
from arrowstream.plan.lowering.lower import lower, required_columns
from arrowstream.plan.lowering.names import function_name, operator_name
from arrowstream.plan.segment import Segment

SCHEMA = pl.Schema(
    {
        "i": pl.Int64(),
        "f": pl.Float64(),
        "s": pl.String(),
        "t": pl.Datetime("us"),
        "n": pl.Datetime("ns"),
        "xs": pl.List(pl.Int64()),
        "kind": pl.Enum(["a", "b"]),
    }
)
INT, F = Column("i", pa.int64()), Column("f", pa.float64())


def segment(*steps: Expressions, schema: pl.Schema = SCHEMA, output: pl.Schema | None = None) -> Segment:
    unchecked = Segment(steps, schema, schema)
    return Segment(
        steps, schema, output or unchecked.apply_lazy(pl.LazyFrame(schema=schema)).collect_schema()
    )


def lowered(*steps: Expressions, schema: pl.Schema = SCHEMA) -> Program:
    program = lower(segment(*steps, schema=schema))
    assert isinstance(program, Program), program
    return program


def expression(expr: pl.Expr) -> Any:
    (step,) = lowered(Select.of("i", result=expr)).steps[-1:]
    assert isinstance(step, Project)
    return dict(step.columns)["result"]


def reasons(*steps: Expressions) -> tuple[str, ...]:
    refusal = lower(segment(*steps))
    assert isinstance(refusal, Refusal), refusal
    return refusal.reasons


def test_a_computed_column_and_a_filter() -> None:
    schema = pl.Schema({"i": pl.Int64(), "f": pl.Float64()})
    program = lowered(WithColumns.of(x=pl.col("i") * 2), FilterStep.of(pl.col("x") > 100), schema=schema)
    twice = Call("multiply", (INT, Literal(2, pa.int64())), pa.int64())
    above = Call("gt", (Column("x", pa.int64()), Literal(100, pa.int64())), pa.bool_())
    assert program.steps == (Project((("i", INT), ("f", F), ("x", twice))), Filter(above))
    assert program.input.names == ["i", "f"]
    assert program.output.names == ["i", "f", "x"]


@pytest.mark.skipif(pl.__version__.startswith("1."), reason="Polars 1.35 does not show fused arithmetic")
@pytest.mark.parametrize("dtype", [pl.Float64, pl.Float32, pl.Int64])
def test_fused_arithmetic_is_two_operations_with_the_same_bits(dtype: Any) -> None:
    rng = np.random.default_rng(0)
    frame = pl.DataFrame({name: rng.standard_normal(1_000) * 1e6 for name in "abc"}).cast(dtype)
    a, b, c = map(pl.col, "abc")
    columns = Select.of(add=a * b + c, also=c + a * b, less=a * b - c, more=c - a * b)
    fused = segment(columns, schema=frame.schema)
    program = lower(fused)
    assert isinstance(program, Program)
    evaluate = ArrowBackend().prepare(fused, program)
    assert callable(evaluate), evaluate
    assert evaluate(Batch(to_record(frame))).polars().equals(columns.apply(frame.lazy()).collect())
    assert "fused" not in str(program)


def test_other_fused_arithmetic_is_refused() -> None:
    with pytest.raises(Unlowered, match="'fnma'"):
        _two_operations(["fnma"], [F, F, F], pa.float64())


def test_a_filter_stays_behind_what_can_fail() -> None:
    program = lowered(CastStep.of({"i": pl.Int8}), FilterStep.of(pl.col("f") > 0))
    assert [type(step) for step in program.steps] == [Project, Filter]


def test_columns_that_nobody_reads_go_first() -> None:
    program = lowered(FilterStep.of(pl.col("f") > 0), Select.of("i"))
    first, *_ = program.steps
    assert isinstance(first, Project)
    assert {name for name, _ in first.columns} == {"i", "f"}
    assert program.output.names == ["i"]


def test_choices_of_columns_melt_into_the_projection_before() -> None:
    program = lowered(WithColumns.of(x=pl.col("i") + 1), Drop.of("i", "f"), Rename.of({"x": "y"}))
    (*_, last) = program.steps
    assert isinstance(last, Project)
    assert dict(last.columns)["y"] == Call("add", (INT, Literal(1, pa.int64())), pa.int64())
    assert len(program.steps) <= 2


def test_a_common_part_is_computed_once() -> None:
    part = pl.col("i") * 3
    program = lowered(Select.of(x=part + part.abs(), y=part - 1))
    calls = str(program.steps).count("multiply")
    assert calls == 1


def test_expressions() -> None:
    f = pl.col("f")
    assert expression(f.round(2)) == Call("round", (F,), pa.float64(), (2, "half_to_even"))
    assert expression(f.is_nan()) == Call("is_nan", (F,), pa.bool_())
    assert expression(pl.col("s").str.replace("a", "b")).function == "str.replace"
    assert expression(pl.col("s").str.replace("a", "b")).options == (1, False)
    assert expression(pl.col("t").dt.year()).function == "dt.year"
    chosen = expression(pl.when(f > 1).then(pl.col("i")).otherwise(0))
    assert chosen.function == "when"
    assert chosen.arguments[1:] == (INT, Literal(0, pa.int64()))
    assert expression(pl.col("i").cast(pl.Int8)) == Cast(INT, pa.int8(), strict=True)
    assert expression(pl.col("i").cast(pl.Int8, strict=False)) == Cast(INT, pa.int8(), strict=False)
    wrapped = pl.col("i").cast(pl.Int8, wrap_numerical=True)
    assert expression(wrapped) == Call("wrapping_cast", (INT,), pa.int8())
    members = expression(pl.col("i").is_in([1, None])).arguments[1]
    assert members == Literal((1, None), pa.large_list(pa.int64()))


@pytest.mark.parametrize(
    ("value", "dtype", "expected"),
    [
        (None, pl.Null(), None),
        (1.5, pl.Float32(), 1.5),
        (Decimal("1.50"), pl.Decimal(38, 2), Decimal("1.50")),
        (b"x", pl.Binary(), b"x"),
        (True, pl.Boolean(), True),
        (dt.date(1969, 12, 31), pl.Date(), -1),
        (dt.datetime(1969, 12, 31, 23, 59, 59, 999_999), pl.Datetime("us"), -1),
        (dt.datetime(1970, 1, 1, 0, 0, 1), pl.Datetime("ms"), 1_000),
        (dt.datetime(1970, 1, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=1))), pl.Datetime("us", "UTC"), 0),
        (86_400_000_000, pl.Duration("us"), 86_400_000_000),
        ([dt.date(1970, 1, 2)], pl.List(pl.Date), (1,)),
        ([1], pl.List(pl.Int64()), (1,)),
    ],
)
def test_literals(value: Any, dtype: pl.DataType, expected: Any) -> None:
    assert literal(value, dtype).value == expected


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        (dt.datetime(2020, 1, 1), pl.Datetime("ns")),
        (dt.time(1), pl.Time()),
        ("a", pl.Enum(["a"])),
        ({"x": 1}, pl.Struct({"x": pl.Int64})),
        (object(), pl.Int64()),
        (7, pl.Time()),
        (dt.timedelta(1), pl.Duration("us")),
        (7, pl.List(pl.Int64())),
        ([7], pl.Array(pl.Int64(), 1)),
    ],
)
def test_a_literal_that_is_not_exact_is_refused(value: Any, dtype: pl.DataType) -> None:
    with pytest.raises(Unlowered, match="not shown exactly"):
        literal(value, dtype)


def test_a_type_without_arrow_form_is_refused() -> None:
    with pytest.raises(Unlowered, match="Int128 has no Arrow form"):
        literal(1, pl.Int128())


def test_all_reasons_are_collected() -> None:
    found = reasons(
        WithColumns.of(
            a=pl.col("i").map_batches(lambda s: s, return_dtype=pl.Int64),
            b=pl.col("xs").list.eval(pl.element() * 2),
            c=pl.col("i").sum(),
        )
    )
    assert len(found) == 3
    assert any("anonymous" in reason for reason in found)
    assert any("list.eval" in reason for reason in found)
    assert "a program has no agg expression" in found


def test_steps_a_program_has_not() -> None:
    assert "a program has no map_function step" in reasons(Explode.of("xs"))


def test_what_does_not_depend_on_the_rows_is_refused() -> None:
    never = reasons(FilterStep.of(pl.lit(False))) if _folds() else ("the result does not depend",)
    assert "does not depend" in never[0]
    (constant,) = reasons(Select.of(x=pl.lit(1)))
    assert "does not depend" in constant or "constants alone" in constant


def test_constants_alone_are_refused() -> None:
    (reason,) = reasons(Select.of(x=pl.lit(1).cast(pl.Int8) + pl.lit(2).sqrt().cast(pl.Int8, strict=False)))
    assert "does not depend" in reason or "constants alone" in reason


def _folds() -> bool:
    """Whether this Polars replaces a filter that lets nothing through by an empty frame."""
    return isinstance(lower(segment(FilterStep.of(pl.lit(False)))), Refusal)


def test_a_plan_of_another_shape_is_refused() -> None:
    other = SCHEMA.copy() | {"more": pl.Int64()}
    refusal = lower(segment(FilterStep.of(pl.col("i") > 1), output=pl.Schema(other)))
    assert refusal == Refusal(("Polars' plan gives other columns than the segment was built for",))


def test_a_schema_without_arrow_form_is_refused() -> None:
    schema = pl.Schema({"i": pl.Int64(), "huge": pl.Int128()})
    for step in (FilterStep.of(pl.col("i") > 1), WithColumns.of(x=pl.col("i") + 1)):
        refusal = lower(segment(step, schema=schema))
        assert isinstance(refusal, Refusal)
        assert "no Arrow form" in str(refusal)


def visiting(monkeypatch: pytest.MonkeyPatch, **shown: Any) -> None:
    """Make Polars' visitor, as lowering sees it, differ in these attributes."""

    class Visitor:
        def __init__(self, real: Any) -> None:
            self._real = real

        def __getattr__(self, name: str) -> Any:
            return shown[name] if name in shown else getattr(self._real, name)

    class Frame:
        def __init__(self, real: Any) -> None:
            self._real = real

        def with_optimizations(self, flags: Any) -> Frame:
            return Frame(self._real.with_optimizations(flags))

        def visit(self) -> Visitor:
            return Visitor(self._real.visit())

    monkeypatch.setattr(
        Segment, "apply_lazy", lambda self, frame: SimpleNamespace(_ldf=Frame(frame.select("i")._ldf))
    )


def refused(*, monkeypatch: pytest.MonkeyPatch, **shown: Any) -> str:
    plain = segment(Select.of("i"))
    visiting(monkeypatch, **shown)
    refusal = lower(plain)
    assert isinstance(refusal, Refusal)
    return str(refusal)


def test_unknown_versions_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    reason = refused(monkeypatch=monkeypatch, version=lambda: (99, 1))
    assert reason == "version 99.1 of Polars' plan is not known"


def test_a_polars_without_visitor_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone() -> None:
        raise AttributeError("version")

    assert "does not show its plan" in refused(monkeypatch=monkeypatch, version=gone)


def test_steps_that_are_not_shown_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def hidden() -> None:
        raise NotImplementedError("a new step")

    assert "a new step" in refused(monkeypatch=monkeypatch, view_current_node=hidden)


def test_several_inputs_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "several inputs" in refused(monkeypatch=monkeypatch, get_inputs=lambda: [1, 2])


def test_other_sources_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    scan = type("Scan", (), {})
    assert "starts with Scan" in refused(monkeypatch=monkeypatch, view_current_node=scan)


def test_a_filter_inside_the_scan_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = pl.DataFrame(schema=SCHEMA).clear(polars_plan._MARK)
    scan = type("DataFrameScan", (), {"df": frame._df, "projection": ["i"], "selection": 1})
    assert "filters inside its scan" in refused(monkeypatch=monkeypatch, view_current_node=scan)


def test_a_cast_in_an_unknown_way_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    lowering = pytest.importorskip("arrowstream.plan.lowering.expressions")
    nodes = [
        type("Cast", (), {"expr": 1, "dtype": pl.Int8(), "options": 7})(),
        type("Column", (), {"name": "i"})(),
    ]
    visitor = SimpleNamespace(
        set_node=lambda node: None,
        view_expression=lambda number: nodes[number],
        get_dtype=lambda number: pl.Int64(),
    )
    found: list[str] = []
    lowering.ExpressionLowering(visitor, 0, found).lower(0)
    assert found == ["a cast with options 7 is not known"]


def test_names() -> None:
    assert function_name("log1p") == "log1p"
    assert operator_name("Operator.Plus") == "plus" or operator_name(_Named("Operator.Plus")) == "add"
    assert function_name(_Named("StringFunction.ToUppercase")) == "str.to_uppercase"
    assert function_name(_Named("BooleanFunction.IsIn")) == "is_in"
    assert function_name(_Named("RollingFunction.Sum")) == "rolling.sum"
    assert operator_name(_Named("Operator.NewOne")) == "new_one"


class _Named:
    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ((Select.of("i"),), ("i",)),
        ((FilterStep.of(pl.col("f") > 1), Select.of("s", "i")), ("i", "f", "s")),
        ((WithColumns.of(x=pl.col("i") + 1),), tuple(SCHEMA)),
        ((Explode.of("xs"), Select.of("xs")), ("xs",)),
        # Nobody reads i, but drop() names it.
        ((Drop.of("i"),), None),
        # Fewer columns have other numbers.
        ((Select.of("t", x=pl.nth(4)),), None),
        ((WithColumns.of(x=pl.nth(4), y=pl.nth(-4)), Select.of("x", "y")), None),
    ],
)
def test_required_columns(steps: tuple[Expressions, ...], expected: tuple[str, ...] | None) -> None:
    assert required_columns(segment(*steps).apply_lazy, SCHEMA) == expected


def test_columns_keep_their_place() -> None:
    replaced = segment(WithColumns.of(i=pl.lit(1)))
    assert required_columns(replaced.apply_lazy, SCHEMA) in (None, tuple(SCHEMA))


def test_required_columns_of_what_cannot_be_told() -> None:
    assert required_columns(lambda frame: frame.join(frame, on="i"), SCHEMA) is None
