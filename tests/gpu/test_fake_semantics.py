"""The fake GPU computes as libcudf does, which is not always as Polars does.

Expected values follow from libcudf's source, of which the files are named, and from C++ and IEEE 754. Where this
machine has a GPU, they are asked of it, too.
"""

import datetime as dt
from typing import Any

import pyarrow as pa
import pytest
from gpu.fake_machines import Bench

pytestmark = [pytest.mark.once, pytest.mark.untraced, pytest.mark.usefixtures("packages")]

NAN, INF = float("nan"), float("inf")
LEAST, MOST = -(2**63), 2**63 - 1


def same(found: list[Any], expected: list[Any]) -> bool:
    """Compare with the sign of zeros, and NaN as itself."""
    return repr(found) == repr(expected)


FLOATS = [1.0, NAN, -0.0, None, NAN, INF]
OTHERS = [NAN, NAN, 0.0, 1.0, 2.0, INF]

COMPARED = {
    "EQUAL": [False, False, True, None, False, True],
    "NOT_EQUAL": [True, True, False, None, True, False],
    "LESS": [False, False, False, None, False, False],
    "GREATER": [False, False, False, None, False, False],
    "LESS_EQUAL": [False, False, True, None, False, True],
    "GREATER_EQUAL": [False, False, True, None, False, True],
}


@pytest.mark.parametrize("name", COMPARED)
def test_nan_compares_as_ieee_754_says(bench: Bench, name: str) -> None:
    left, right = bench.column(FLOATS), bench.column(OTHERS)
    assert bench.binary(name, left, right, "BOOL8") == COMPARED[name]
    tree = bench.plc.expressions
    node = tree.Operation(tree.ASTOperator[name], tree.ColumnReference(0), tree.ColumnReference(1))
    assert bench.values(bench.tree([left, right], node)) == COMPARED[name]


@pytest.mark.parametrize(
    ("name", "left", "right", "out", "expected"),
    [
        ("ADD", [MOST, None], [1, 1], "INT64", [LEAST, None]),
        ("SUB", [LEAST], [1], "INT64", [MOST]),
        ("MUL", [2**62], [4], "INT64", [0]),
        # Towards zero, with the sign of the dividend.
        ("DIV", [7, -7, 7, -7], [2, 2, -2, -2], "INT64", [3, -3, -3, 3]),
        ("MOD", [7, -7, 7, -7], [2, 2, -2, -2], "INT64", [1, -1, 1, -1]),
        ("PYMOD", [7, -7, 7, -7], [3, 3, -3, -3], "INT64", [1, 2, -2, -1]),
        ("PMOD", [7, -7, 7, -7], [3, 3, -3, -3], "INT64", [1, 2, 1, -1]),
        # cpp/include/cudf/detail/integral_math.cuh
        ("FLOOR_DIV", [7, -7, 7, -7], [2, 2, -2, -2], "INT64", [3, -4, -4, 3]),
        ("TRUE_DIV", [1, 1, -1, 0], [2, 0, 0, 0], "FLOAT64", [0.5, INF, -INF, NAN]),
        ("ADD", [0.1], [0.2], "FLOAT64", [0.1 + 0.2]),
        ("DIV", [1.0, -1.0, 0.0, 1.0], [0.0, 0.0, 0.0, -INF], "FLOAT64", [INF, -INF, NAN, -0.0]),
        ("FLOOR_DIV", [7.5, -7.5, 1.0], [2.0, 2.0, 0.0], "FLOAT64", [3.0, -4.0, INF]),
        ("MOD", [7.5, -7.5, 1.0], [2.0, 2.0, 0.0], "FLOAT64", [1.5, -1.5, NAN]),
        ("BITWISE_AND", [6, -1], [3, 255], "INT64", [2, 255]),
        ("BITWISE_XOR", [6], [3], "INT64", [5]),
        ("LOGICAL_AND", [True, False, None], [True, None, False], "BOOL8", [True, None, None]),
        ("NULL_EQUALS", [1, None, None, 1], [1, None, 1, None], "BOOL8", [True, True, False, False]),
        ("NULL_NOT_EQUALS", [1, None, None, 2], [1, None, 1, 1], "BOOL8", [False, False, True, True]),
    ],
)
def test_arithmetic_is_that_of_c_and_wraps_around(
    bench: Bench, name: str, left: list[Any], right: list[Any], out: str, expected: list[Any]
) -> None:
    """cpp/src/binaryop/compiled/operation.cuh."""
    assert same(bench.binary(name, bench.column(left), bench.column(right), out), expected)


@pytest.mark.parametrize("name", ["DIV", "FLOOR_DIV", "MOD", "PYMOD", "PMOD"])
def test_nobody_should_rely_on_a_division_by_zero(name: str) -> None:
    """C++ leaves it open: the fake sets all bits."""
    bench = Bench()
    for kind, all_bits in ((pa.int64(), -1), (pa.uint32(), 2**32 - 1)):
        left, right = bench.column([1, 7], kind), bench.column([0, 0], kind)
        assert bench.binary(name, left, right, str(kind).upper()) == [all_bits] * 2


def test_nobody_should_rely_on_casts_that_c_leaves_open() -> None:
    """Of a float that a small integer cannot hold: the fake cuts off the 32 bits that PTX's cvt gives."""
    bench = Bench()
    found = bench.plc.unary.cast(bench.column([300.0, 1e10]), bench.type("INT8"), stream=bench.compute)
    assert bench.values(found) == [44, -1]


@pytest.mark.parametrize(
    ("left", "right", "out", "expected"),
    [
        (pa.array([127], pa.int8()), pa.array([1], pa.int8()), "INT8", [-128]),
        # Computed in the common type of the result and the operands.
        (pa.array([127], pa.int8()), pa.array([1], pa.int8()), "INT64", [128]),
        (pa.array([2**32 - 1], pa.uint32()), pa.array([1], pa.int32()), "UINT32", [0]),
        (pa.array([-1], pa.int64()), pa.array([0], pa.uint64()), "UINT64", [2**64 - 1]),
        (pa.array([2**24 + 1], pa.int64()), pa.array([0], pa.float32()), "FLOAT32", [float(2**24)]),
        (pa.array([5], pa.timestamp("us")), pa.array([1], pa.duration("us")), "TIMESTAMP_MICROSECONDS", [6]),
        (
            pa.array([5], pa.timestamp("us")),
            pa.array([1], pa.duration("ms")),
            "TIMESTAMP_MICROSECONDS",
            [1005],
        ),
    ],
)
def test_operands_are_brought_to_their_common_type(
    bench: Bench, left: pa.Array, right: pa.Array, out: str, expected: list[Any]
) -> None:
    """cpp/src/binaryop/compiled/util.cpp: get_common_type."""
    add = bench.plc.binaryop.BinaryOperator.ADD
    found = bench.plc.binaryop.binary_operation(
        bench.column(left), bench.column(right), add, bench.type(out), stream=bench.compute
    )
    array = found.to_arrow(stream=bench.compute)
    integers = array.cast(pa.int64()) if pa.types.is_timestamp(array.type) else array
    assert integers.to_pylist() == expected


def test_the_difference_of_moments_is_a_duration(bench: Bench) -> None:
    moments = [bench.column(pa.array([value], pa.timestamp("us"))) for value in (7, 5)]
    assert bench.binary("SUB", *moments, "DURATION_MICROSECONDS") == [dt.timedelta(microseconds=2)]
    with pytest.raises(TypeError, match="Unsupported operator"):
        bench.binary("ADD", *moments, "TIMESTAMP_MICROSECONDS")


def test_a_comparison_of_unsigned_and_signed_is_that_of_c(bench: Bench) -> None:
    left, right = bench.column(pa.array([1], pa.uint64())), bench.column(pa.array([-1], pa.int64()))
    assert bench.binary("LESS", left, right, "BOOL8") == [True]


KLEENE = [(left, right) for left in (True, False, None) for right in (True, False, None)]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("NULL_LOGICAL_AND", [True, False, None, False, False, False, None, False, None]),
        ("NULL_LOGICAL_OR", [True, True, True, True, False, None, True, None, None]),
    ],
)
def test_logic_that_looks_at_nulls_is_kleenes(bench: Bench, name: str, expected: list[Any]) -> None:
    left, right = (bench.column([pair[side] for pair in KLEENE], pa.bool_()) for side in (0, 1))
    assert bench.binary(name, left, right, "BOOL8") == expected
    tree = bench.plc.expressions
    node = tree.Operation(tree.ASTOperator[name], tree.ColumnReference(0), tree.ColumnReference(1))
    assert bench.values(bench.tree([left, right], node)) == expected


def test_strings_compare_by_bytes(bench: Bench) -> None:
    left, right = bench.column(["a", "é", None, "B"]), bench.column(["b", "z", "", "a"])
    assert bench.binary("LESS", left, right, "BOOL8") == [True, False, None, True]
    assert bench.binary("NULL_EQUALS", left, bench.scalar("é"), "BOOL8") == [False, True, False, False]


def test_a_tree_has_operands_of_one_type_and_results_of_cs(bench: Bench) -> None:
    """cpp/src/ast/expression_parser.cpp; results have the type of C++'s expression."""
    tree = bench.plc.expressions
    bytes_ = bench.column(pa.array([127, None], pa.int8()))
    node = tree.Operation(tree.ASTOperator.ADD, tree.ColumnReference(0), tree.ColumnReference(0))
    found = bench.tree([bytes_], node)
    assert found.type().id() == bench.plc.TypeId.INT32
    assert bench.values(found) == [254, None]
    one = tree.Literal(bench.scalar(1, "INT64"))
    with pytest.raises(RuntimeError, match="non-matching"):
        bench.tree([bytes_], tree.Operation(tree.ASTOperator.ADD, tree.ColumnReference(0), one))
    with pytest.raises(RuntimeError, match="Invalid"):
        bench.tree([bytes_], tree.Operation(tree.ASTOperator.SQRT, tree.ColumnReference(0)))
    with pytest.raises(RuntimeError, match="RIGHT"):
        bench.tree([bytes_], tree.ColumnReference(0, tree.TableReference.RIGHT))
    with pytest.raises(IndexError):
        bench.tree([bytes_], tree.ColumnReference(1))


@pytest.mark.parametrize(
    ("values", "source", "target", "expected"),
    [
        # PTX ISA, "cvt": towards zero, clamped to the range.
        ([1.9, -1.9, 1e30, -1e30, NAN, INF], pa.float64(), "INT64", [1, -1, MOST, LEAST, LEAST, MOST]),
        ([1e10, -1e10, NAN], pa.float64(), "INT32", [2**31 - 1, -(2**31), -(2**31)]),
        ([NAN], pa.float32(), "INT32", [0]),
        ([-1.0, 1e30, NAN], pa.float64(), "UINT64", [0, 2**64 - 1, 2**63]),
        ([2**40 + 5, -1, None], pa.int64(), "INT32", [5, -1, None]),
        ([-1], pa.int64(), "UINT8", [255]),
        ([2, 0, None], pa.int64(), "BOOL8", [True, False, None]),
        ([True, False], pa.bool_(), "FLOAT64", [1.0, 0.0]),
        ([2**53 + 1], pa.int64(), "FLOAT64", [float(2**53)]),
    ],
)
def test_casts_are_those_of_c(
    bench: Bench, values: list[Any], source: pa.DataType, target: str, expected: list[Any]
) -> None:
    column = bench.column(values, source)
    found = bench.plc.unary.cast(column, bench.type(target), stream=bench.compute)
    assert same(bench.values(found), expected)


def test_times_are_rounded_down_to_a_coarser_unit(bench: Bench) -> None:
    """cpp/src/unary/cast_ops.cu: floor, before 1970 as well."""
    column = bench.column([-1, 999, 1000], pa.timestamp("us"))
    found = bench.plc.unary.cast(column, bench.type("TIMESTAMP_MILLISECONDS"), stream=bench.compute)
    assert found.to_arrow(stream=bench.compute).cast(pa.int64()).to_pylist() == [-1, 0, 1]
    with pytest.raises(RuntimeError):
        bench.plc.unary.cast(column, bench.type("INT64"), stream=bench.compute)
    bits = bench.plc.unary.bit_cast(column, bench.type("INT64"), stream=bench.compute)
    assert bench.values(bits) == [-1, 999, 1000]


def test_operations_on_one_column(bench: Bench) -> None:
    """cpp/src/unary/math_ops.cu, nan_ops.cu."""
    floats = bench.column([-1.5, 2.5, NAN, None])
    assert same(bench.unary("RINT", floats), [-2.0, 2.0, NAN, None])
    assert same(bench.unary("FLOOR", floats), [-2.0, 2.0, NAN, None])
    assert same(bench.unary("SQRT", bench.column([4.0, -1.0])), [2.0, NAN])
    assert bench.unary("ABS", bench.column([LEAST, -3])) == [LEAST, 3]
    assert bench.unary("NOT", bench.column([True, None])) == [False, None]
    assert bench.unary("SQRT", bench.column([9, 8])) == [3, 2]
    with pytest.raises(RuntimeError, match="Unsupported data type"):
        bench.unary("RINT", bench.column([1]))
    with pytest.raises(RuntimeError, match="Unsupported data type"):
        bench.unary("NEGATE", bench.column(pa.array([1], pa.uint8())))
    assert bench.values(bench.plc.unary.is_nan(floats, stream=bench.compute)) == [False, False, True, False]
    assert bench.values(bench.plc.unary.is_not_nan(floats, stream=bench.compute)) == [True, True, False, True]


def test_a_null_mask_counts_as_false(bench: Bench) -> None:
    """cpp/src/copying/copy.cu, cpp/src/stream_compaction/apply_boolean_mask.cu."""
    mask, left, right = bench.column([True, False, None]), bench.column([1, 2, 3]), bench.column([None, 5, 6])
    chosen = bench.plc.copying.copy_if_else(left, right, mask, stream=bench.compute)
    assert bench.values(chosen) == [1, 5, 6]
    kept = bench.plc.stream_compaction.apply_boolean_mask(bench.plc.Table([left]), mask, stream=bench.compute)
    assert bench.values(kept.columns()[0]) == [1]
    with pytest.raises(TypeError, match="same type"):
        bench.plc.copying.copy_if_else(left, bench.scalar(1.0), mask, stream=bench.compute)


def test_gathered_rows_may_be_counted_from_the_end_and_be_out_of_bounds(bench: Bench) -> None:
    table = bench.plc.Table([bench.column([10, 20, 30])])
    policy = bench.plc.copying.OutOfBoundsPolicy

    def gathered(rows: list[int | None], how: Any) -> list[Any]:
        places = bench.column(rows, pa.int32())
        return bench.values(bench.plc.copying.gather(table, places, how, stream=bench.compute).columns()[0])

    assert gathered([-1, 0, -(2**31), 3], policy.NULLIFY) == [30, 10, None, None]
    if bench.machine:  # a device reads whatever lies there
        with pytest.raises(IndexError, match="DONT_CHECK"):
            gathered([3], policy.DONT_CHECK)
    with pytest.raises(ValueError, match="nulls"):
        gathered([None], policy.NULLIFY)


def test_reductions_leave_nulls_out(bench: Bench) -> None:
    """cpp/src/reductions/reductions.cpp: of nothing, any is false, all is true, and the others are null."""
    aggregation = bench.plc.aggregation

    def reduced(values: list[Any], kind: pa.DataType, how: Any, out: str) -> Any:
        column = bench.column(values, kind)
        found = bench.plc.reduce.reduce(column, how, bench.type(out), stream=bench.compute)
        return found.to_py(stream=bench.compute)

    assert reduced([False, None, True], pa.bool_(), aggregation.any(), "BOOL8") is True
    for nothing in ([None], []):
        assert reduced(nothing, pa.bool_(), aggregation.any(), "BOOL8") is False
        assert reduced(nothing, pa.bool_(), aggregation.all(), "BOOL8") is True
        assert reduced(nothing, pa.int64(), aggregation.sum(), "INT64") is None
        assert reduced(nothing, pa.int64(), aggregation.max(), "INT64") is None
    assert reduced([MOST, 1], pa.int64(), aggregation.sum(), "INT64") == LEAST
    assert reduced([100, 100, None], pa.int8(), aggregation.sum(), "INT8") == -56
    # Added in 64 bits if another type is wanted.
    assert reduced([100, 100, None], pa.int8(), aggregation.sum(), "FLOAT64") == 200.0
    assert reduced([3, None, 1], pa.int64(), aggregation.min(), "INT64") == 1
    if bench.machine:  # what a device gives depends on the order
        with pytest.raises(NotImplementedError, match="NaN"):
            reduced([1.0, NAN], pa.float64(), aggregation.min(), "FLOAT64")
