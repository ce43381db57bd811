"""Casts: C++'s conversions where they are Polars', and values that do not fit as null, or left to Polars."""

from __future__ import annotations

import pyarrow as pa

from arrowstream.backends.arrow.kernels.types import is_float, is_integer, is_number
from arrowstream.expressions.program import Call, Literal
from arrowstream.gpu import libraries as cuda
from arrowstream.gpu.kernels.base import Kernel
from arrowstream.gpu.kernels.tree import (
    Constant,
    Node,
    apply,
    bits,
    cast,
    choose,
    constant,
    doubted,
    labelled,
    outside,
    test,
)
from arrowstream.gpu.kernels.tree import (
    call as call_of,
)
from arrowstream.gpu.work import Work

TICKS = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
"""Ticks in a second, by Arrow's name of the unit."""

DAY = 86_400
"""Seconds in a day."""

_types = pa.types
_INT32, _INT64 = pa.int32(), pa.int64()


def convert(node: Node, target: pa.DataType, strict: bool) -> Node | str:
    """Return the tree that casts a node to a type, or the reason to refuse it.

    Parameters
    ----------
    node
        What is cast.
    target
        The type to cast to.
    strict
        True if a value that does not fit is an error: a batch with one is left to Polars, which raises it. It
        becomes null otherwise.
    """
    source = node.dtype
    if source == target:
        return node
    if isinstance(node, Constant):
        return _constant(node, target, strict)
    if is_integer(source) and is_integer(target):
        return _narrow(node, target, strict)
    if is_float(source) and is_integer(target):
        return _truncate(node, target, strict)
    if _types.is_boolean(target) and is_number(source):
        return test("NOT_EQUAL", node, constant(0, node))
    if is_number(target) and (is_number(source) or _types.is_boolean(source)):
        return cast(node, target)
    if _types.is_large_string(target) and (is_integer(source) or _types.is_boolean(source)):
        return call_of(
            "AS_TEXT", _integers_as_text if is_integer(source) else _booleans_as_text, node, dtype=target
        )
    return _between_moments(node, target, strict) or f"a cast of {source} to {target} may differ"


def _constant(node: Constant, target: pa.DataType, strict: bool) -> Node | str:
    # Imported here: it is the Arrow backend's, which may not have been needed yet.
    from arrowstream.backends.arrow.kernels.conversion import convert as convert_in_arrow

    evaluate = convert_in_arrow(node.dtype, target, strict)
    if isinstance(evaluate, str):
        return evaluate
    try:
        (value,) = evaluate(pa.array([node.value], node.dtype))
    except pa.ArrowException as error:
        return f"a constant cannot be cast: {error}"
    if value.is_valid and (_types.is_temporal(target)):
        value = value.cast(pa.int32() if _types.is_date32(target) else _INT64)
    return Constant(value.as_py(), target)


def _integers_as_text(work: Work, values: cuda.plc.Column) -> cuda.plc.Column:
    return cuda.plc.strings.convert.convert_integers.from_integers(values, stream=work.stream)


def _booleans_as_text(work: Work, values: cuda.plc.Column) -> cuda.plc.Column:
    true, false = (work.scalar(Literal(text, pa.large_string())) for text in ("true", "false"))
    return cuda.plc.strings.convert.convert_booleans.from_booleans(values, true, false, stream=work.stream)


def _bounds(dtype: pa.DataType) -> tuple[int, int]:
    """Return the smallest and the largest value of an integer type."""
    if _types.is_signed_integer(dtype):
        return -(1 << (dtype.bit_width - 1)), (1 << (dtype.bit_width - 1)) - 1
    return 0, (1 << dtype.bit_width) - 1


def _checked(value: Node, doubtful: Node | None, strict: bool) -> Node:
    """Return `value`, where what is doubtful does not fit: it is null, or left to Polars if the cast is strict."""
    if doubtful is None:
        return value
    if strict:
        return doubted(value, doubtful)
    return choose(doubtful, Constant(None, value.dtype), value)


def _narrow(node: Node, target: pa.DataType, strict: bool) -> Node:
    (least, most), (low, high) = _bounds(node.dtype), _bounds(target)
    doubtful = outside(node, low if least < low else None, high if most > high else None)
    return _checked(cast(node, target), doubtful, strict)


def _truncate(node: Node, target: pa.DataType, strict: bool) -> Node:
    low, high = _bounds(target)
    # The end above is a power of two, which every float type holds. So is the one below of large types, in which
    # `low - 1` is not a float of its own.
    below = float(low - 1)
    exact = pa.scalar(below, node.dtype).as_py() == low - 1
    above_low = (
        test("GREATER", node, constant(below, node))
        if exact
        else test("GREATER_EQUAL", node, constant(float(low), node))
    )
    fits = test("LOGICAL_AND", above_low, test("LESS", node, constant(float(high + 1), node)))
    return _checked(cast(node, target), test("NOT", fits), strict)


def _between_moments(node: Node, target: pa.DataType, strict: bool) -> Node | None:
    """Return a cast among dates, timestamps, durations and the integers that store them; None if it is another."""
    source = node.dtype
    if _types.is_date32(source):
        if _types.is_int32(target):
            return bits(node, target)
        if _types.is_timestamp(target) and target.tz is None:
            return scaled(cast(bits(node, _INT32), _INT64), DAY * TICKS[target.unit], target, strict)
    if _types.is_timestamp(source) and _types.is_date32(target) and source.tz is None:
        return as_date(node, strict)
    if _types.is_int64(target) and is_ticks(source):
        return bits(node, target)
    if _types.is_int64(source) and is_ticks(target):
        return bits(node, target)
    same_kind = _types.is_duration(source) and _types.is_duration(target)
    if _types.is_timestamp(source) and _types.is_timestamp(target):
        same_kind = source.tz == target.tz
    return in_unit(node, target, strict) if same_kind else None


def is_ticks(dtype: pa.DataType) -> bool:
    """Return whether a type is a timestamp or duration, which are stored as 64-bit integers."""
    return bool(_types.is_timestamp(dtype) or _types.is_duration(dtype))


def in_unit(node: Node, target: pa.DataType, strict: bool) -> Node:
    """Return timestamps or durations in the unit of another such type."""
    here, there = TICKS[node.dtype.unit], TICKS[target.unit]
    if there >= here:
        return scaled(bits(node, _INT64), there // here, target, strict)
    # Polars rounds timestamps down, as libcudf does, but durations towards zero.
    if _types.is_timestamp(node.dtype):
        return cast(node, target)
    return bits(apply("DIV", bits(node, _INT64), Constant(here // there, _INT64)), target)


def scaled(ticks: Node, factor: int, target: pa.DataType, strict: bool) -> Node:
    """Return ticks of a unit `factor` times as fine; those that overflow 64 bits do not fit."""
    if factor == 1:
        return bits(ticks, target)
    low, high = _bounds(_INT64)
    doubtful = outside(ticks, -(-low // factor), high // factor)
    return _checked(bits(apply("MUL", ticks, Constant(factor, _INT64)), target), doubtful, strict)


def as_date(node: Node, strict: bool) -> Node:
    """Return the dates of timestamps; those whose date 32 bits cannot hold do not fit."""
    ticks = DAY * TICKS[node.dtype.unit]
    low, high = _bounds(_INT32)
    least, most = _bounds(_INT64)
    reaches = low * ticks > least
    doubtful = None
    if reaches:
        numbers = bits(node, _INT64)
        doubtful = outside(numbers, low * ticks, min(most, (high + 1) * ticks - 1))
    return _checked(cast(node, pa.date32()), doubtful, strict)


def _wrapping_cast(call: Call, values: Node) -> Node | str:
    """Compile a cast that keeps the low bits of integers; the plan also uses it to widen types."""
    source, target = values.dtype, call.dtype
    if (is_integer(source) and is_integer(target)) or (is_number(source) and is_float(target)):
        return cast(values, target)
    return f"a wrapping cast of {source} to {target} may differ"


def _convert_time_zone(call: Call, values: Node) -> Node | str:
    return labelled(values, call.dtype)


KERNELS: dict[str, Kernel] = {"wrapping_cast": _wrapping_cast, "dt.convert_time_zone": _convert_time_zone}
