"""Operators that are neighbours are computed by one call; no call is made twice, and no result kept too long."""

from __future__ import annotations

from collections import Counter
from itertools import chain, repeat
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from expression_cases.compared import assert_same, on_polars, segment_of

from arrowstream.core.batch import to_record
from arrowstream.expressions.program import Call, Column, Literal, Program, Project, Refusal
from arrowstream.operators.with_columns import WithColumns
from arrowstream.plan.lowering.lower import lower
from arrowstream.plan.segment import Segment

pytestmark = pytest.mark.once

A, B, C, X, Y, P = (pl.col(name) for name in ("a", "b", "c", "x", "y", "p"))
FRAME = pl.DataFrame(
    {
        "a": [1, -2, None, 2**63 - 1],
        "b": [3, None, 5, 7],
        "c": [2, 2, 2, 2],
        "x": [1.5, float("nan"), -0.0, None],
        "y": [float("nan"), float("nan"), 0.0, 1.0],
        "p": [True, None, False, True],
        "tiny": pl.Series([1, -2, 127, None], dtype=pl.Int8),
        "s": ["a", "b", None, "é"],
    }
)
FUSED = "transform.compute_column"


def calls_of(machine: Any, expression: pl.Expr, frame: pl.DataFrame = FRAME) -> Counter[str]:
    """The calls that compute an expression, whose rows are Polars'."""
    segment = segment_of(expression, frame.schema)
    program = lower(segment)
    assert isinstance(program, Program), str(program)
    found = computed(machine, program, to_record(frame))
    assert_same(found, on_polars(segment, frame))
    return Counter(
        name for name in machine.log.calls if not name.startswith(("Table", "Column", "Scalar", "DataType"))
    )


def computed(machine: Any, program: Program, record: pa.RecordBatch) -> pa.RecordBatch:
    from arrowstream.gpu.device import Device
    from arrowstream.gpu.download import in_host_memory
    from arrowstream.gpu.program import compile_program
    from arrowstream.gpu.rows import DeviceRows

    compiled = compile_program(program)
    assert not isinstance(compiled, Refusal), str(compiled)
    device = Device(memory_mb=64)

    def work() -> pa.RecordBatch:
        rows = DeviceRows.of(record, device).with_resident(compiled.reads)
        device.retain(rows)
        machine.log.clear()
        found = compiled(rows)
        assert found is not None
        return in_host_memory(found)

    return device.run(work)


@pytest.mark.parametrize(
    "expression",
    [
        A * B + C,
        (A + B) * (A - C) > B,
        (A > 1) & (B < 5) | P,
        X > Y,
        X.is_finite() & (A + 1).is_not_null(),
        (A & B) ^ ~C,
        ((X * 2.0).sqrt() + Y).floor() <= 3,
        A.is_between(B, C) & P.is_null(),
        A.eq_missing(B) | (A + B).ne_missing(C),
    ],
)
def test_neighbouring_operators_become_one_call(machine: Any, expression: pl.Expr) -> None:
    assert calls_of(machine, expression) == {FUSED: 1}


def test_a_single_operator_is_a_call_of_its_own(machine: Any) -> None:
    assert calls_of(machine, A + B) == {"binaryop.binary_operation": 1}
    assert calls_of(machine, ~P) == {"unary.unary_operation": 1}
    assert calls_of(machine, A.is_not_null()) == {"unary.is_valid": 1}


def test_what_trees_compute_in_other_types_is_not_fused(machine: Any) -> None:
    """A sum of two bytes is an int in C++."""
    tiny = pl.col("tiny")
    assert calls_of(machine, tiny + tiny * tiny) == {"binaryop.binary_operation": 2}
    assert calls_of(machine, (tiny > 1) & (tiny < 5)) == {FUSED: 1}


def test_text_is_compared_by_a_call_whose_result_is_fused(machine: Any) -> None:
    found = calls_of(machine, (pl.col("s") == "a") & P & (A > 1))
    assert found == {"binaryop.binary_operation": 1, FUSED: 1}


def test_what_stands_between_divides_trees(machine: Any) -> None:
    chosen = pl.when((A > 1) & P).then(A + B * C).otherwise(A - B * C)
    assert calls_of(machine, (chosen + 1) * 2) == {FUSED: 4, "copying.copy_if_else": 1}


def test_a_null_constant_is_not_part_of_a_tree(machine: Any) -> None:
    nothing = Literal(None, pa.int64())
    total = Call("add", (Call("multiply", (Column("a", pa.int64()),) * 2, pa.int64()), nothing), pa.int64())
    schema = pa.schema([("a", pa.int64())])
    program = Program(schema, (Project((("x", total),)),), pa.schema([("x", pa.int64())]))
    found = computed(machine, program, pa.record_batch({"a": [1, 2]}, schema=schema))
    assert found.column("x").to_pylist() == [None, None]
    assert FUSED not in machine.log.calls


def test_a_large_expression_becomes_trees_of_limited_size(machine: Any) -> None:
    columns = chain.from_iterable(repeat((A, B, C)))
    total = next(columns)
    for column in [next(columns) for _ in range(45)]:
        total = total * 3 + column
    from arrowstream.gpu import fused

    found = calls_of(machine, total)
    operators = 90
    assert found == {FUSED: -(-operators // fused.LARGEST)}


def test_a_result_that_is_needed_twice_is_computed_once(machine: Any) -> None:
    """Floats are compared by several operators that read the same; a small one is computed for each."""
    large = (Y * Y + X) * (Y - X) + Y * 3.0
    assert calls_of(machine, large < X) == {FUSED: 2}
    assert calls_of(machine, (X + Y) < X) == {FUSED: 1}


def test_results_are_let_go_once_nothing_reads_them(machine: Any) -> None:
    frame = pl.DataFrame({"a": range(100_000)}).with_columns(p=pl.col("a") > 5)
    deep = pl.col("a")
    for number in range(20):
        deep = pl.when(pl.col("p")).then(deep + 1).otherwise(number)
    calls_of(machine, deep, frame)
    column = 8 * frame.height
    assert machine.most_held < 12 * column


def test_trees_are_made_once_for_each_device(machine: Any) -> None:
    from arrowstream.gpu.device import Device
    from arrowstream.gpu.program import compile_program
    from arrowstream.gpu.rows import DeviceRows

    segment = segment_of((A + 3) * 5 > B, FRAME.schema)
    program = lower(segment)
    assert isinstance(program, Program)
    compiled = compile_program(program)
    assert not isinstance(compiled, Refusal)
    record = to_record(FRAME)
    for device in (Device(), Device()):
        made = []
        for _ in range(2):
            rows = device.run(lambda device=device: compiled(DeviceRows.of(record, device)))
            assert rows is not None
            device.run(device.synchronize)
            made.append(machine.log.calls.count("Column.to_scalar"))
            machine.log.clear()
        assert made == [2, 0]


def test_doubts_are_asked_together(machine: Any) -> None:
    """Each answer is waited for; a null in one does not hide what is doubtful in another."""
    from arrowstream.gpu.device import Device
    from arrowstream.gpu.program import compile_program
    from arrowstream.gpu.rows import DeviceRows

    schema = pl.Schema({"a": pl.Int64(), "b": pl.Int64(), "c": pl.Int64()})
    step = WithColumns.of(*(pl.col(name).cast(pl.Int8).alias(name + "8") for name in "abc"))
    lazy = step.apply(pl.LazyFrame(schema=schema))
    program = lower(Segment((step,), schema, lazy.collect_schema()))
    assert isinstance(program, Program)
    compiled = compile_program(program)
    assert not isinstance(compiled, Refusal)
    device = Device()

    def is_computed(**columns: list[int | None]) -> bool:
        machine.log.clear()
        record = to_record(pl.DataFrame(columns, schema=schema))
        found = device.run(lambda: compiled(DeviceRows.of(record, device).with_resident("abc")))
        device.run(device.synchronize)
        assert machine.log.calls.count("reduce.reduce") == 1
        return found is not None

    assert is_computed(a=[1, None], b=[2, 3], c=[127, -128])
    assert not is_computed(a=[1, 300], b=[2, 3], c=[4, 5])
    assert not is_computed(a=[None, 1], b=[300, 3], c=[None, None])
    assert not is_computed(a=[None, 1], b=[None, 3], c=[4, -129])
    device.close()
