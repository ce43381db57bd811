"""Comparisons, in Polars' total order of floats: NaN equals NaN and is above every number."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import reduce

import pyarrow as pa

from arrowstream.backends.arrow.kernels.types import is_float
from arrowstream.expressions.program import Call
from arrowstream.gpu import libraries as cuda
from arrowstream.gpu.device import Device
from arrowstream.gpu.kernels.base import Kernel
from arrowstream.gpu.kernels.tree import Constant, Node, constant, test
from arrowstream.gpu.kernels.tree import call as call_of
from arrowstream.gpu.work import Work

_IEEE = {
    "eq": "EQUAL",
    "ne": "NOT_EQUAL",
    "lt": "LESS",
    "le": "LESS_EQUAL",
    "gt": "GREATER",
    "ge": "GREATER_EQUAL",
}
_MIRRORED = {"eq": "eq", "ne": "ne", "lt": "gt", "le": "ge", "gt": "lt", "ge": "le"}

FEW = 8
"""Largest number of members that are compared one by one, not looked up in a hash table."""


def compare(name: str, left: Node, right: Node) -> Node | str:
    """Return the tree that compares two values of one type, or the reason to refuse it.

    Parameters
    ----------
    name
        ``"eq"``, ``"ne"``, ``"lt"``, ``"le"``, ``"gt"`` or ``"ge"``.
    left, right
        The trees to compare; not both are constants.
    """
    if left.dtype != right.dtype:
        return f"{left.dtype} and {right.dtype} are compared after a cast"
    if not is_float(left.dtype):
        return test(_IEEE[name], left, right)
    if isinstance(left, Constant):
        return _with_constant(_MIRRORED[name], right, left)
    if isinstance(right, Constant):
        return _with_constant(name, left, right)
    return _TOTAL[name](left, right)


def _not(node: Node) -> Node:
    return test("NOT", node)


def is_nan(values: Node) -> Node:
    """Return which values are NaN; null for null."""
    return test("NOT_EQUAL", values, values)


def _is_number(values: Node) -> Node:
    return test("EQUAL", values, values)


def _with_constant(name: str, values: Node, other: Constant) -> Node:
    if other.value is None or not math.isnan(other.value):
        # IEEE comparison is right except for NaN, which must be above the number.
        if name == "gt":
            return _not(test("LESS_EQUAL", values, other))
        if name == "ge":
            return _not(test("LESS", values, other))
        return test(_IEEE[name], values, other)
    if name in ("eq", "ge"):
        return is_nan(values)
    if name in ("ne", "lt"):
        return _is_number(values)
    join = "LOGICAL_OR" if name == "le" else "LOGICAL_AND"
    return test(join, is_nan(values), _is_number(values))


def _floats_equal(x: Node, y: Node) -> Node:
    return test("LOGICAL_OR", test("EQUAL", x, y), test("LOGICAL_AND", is_nan(x), is_nan(y)))


def _float_greater(x: Node, y: Node) -> Node:
    return test("LOGICAL_AND", _is_number(y), _not(test("LESS_EQUAL", x, y)))


def _float_greater_or_equal(x: Node, y: Node) -> Node:
    return test("LOGICAL_OR", is_nan(x), test("GREATER_EQUAL", x, y))


_TOTAL: dict[str, Callable[[Node, Node], Node]] = {
    "eq": _floats_equal,
    "ne": lambda x, y: _not(_floats_equal(x, y)),
    "lt": lambda x, y: _float_greater(y, x),
    "le": lambda x, y: _float_greater_or_equal(y, x),
    "gt": _float_greater,
    "ge": _float_greater_or_equal,
}


def _comparison(name: str) -> Kernel:
    return lambda call, left, right: compare(name, left, right)


def _missing(equal: bool) -> Kernel:
    """Return a kernel of equality, or of its opposite, in which null equals only null."""

    def kernel(call: Call, left: Node, right: Node) -> Node | str:
        same = compare("eq", left, right)
        if isinstance(same, str):
            return same
        if is_float(left.dtype):
            # False and null is false: where one side is null, equality does not count.
            known = reduce(_kleene_and, [_is_valid(side) for side in (left, right)])
            unknown = [_is_null(side) for side in (left, right)]
            both_null = reduce(_kleene_and, unknown)
            same = test("NULL_LOGICAL_OR", both_null, _kleene_and(known, same))
        else:
            same = test("NULL_EQUAL", left, right)
        return same if equal else _not(same)

    return kernel


def _kleene_and(x: Node, y: Node) -> Node:
    return test("NULL_LOGICAL_AND", x, y)


def _is_null(node: Node) -> Node:
    return Constant(node.value is None, pa.bool_()) if isinstance(node, Constant) else test("IS_NULL", node)


def _is_valid(node: Node) -> Node:
    return (
        Constant(node.value is not None, pa.bool_()) if isinstance(node, Constant) else test("IS_VALID", node)
    )


_CLOSED = {"both": ("ge", "le"), "left": ("ge", "lt"), "right": ("gt", "le"), "none": ("gt", "lt")}


def _is_between(call: Call, values: Node, low: Node, high: Node) -> Node | str:
    (closed,) = call.options
    if isinstance(values, Constant):
        return "a constant between columns"
    above, below = compare(_CLOSED[closed][0], values, low), compare(_CLOSED[closed][1], values, high)
    if isinstance(above, str):
        return above
    return below if isinstance(below, str) else _kleene_and(above, below)


def _is_in(call: Call, values: Node, members: Node) -> Node | str:
    (nulls_equal,) = call.options
    if not isinstance(members, Constant) or members.value is None:
        return "the members must be constant"
    dtype = values.dtype
    if members.dtype.value_type != dtype:
        return f"{dtype} among {members.dtype.value_type} is looked up after a cast"
    if pa.types.is_boolean(dtype):
        return f"not for {dtype}"
    known = [value for value in members.value if value is not None]
    found = _one_by_one(values, known) if len(known) <= FEW else _looked_up(values, known)
    if not nulls_equal:
        return found
    if None in members.value:
        return test("NULL_LOGICAL_OR", found, _is_null(values))
    return _kleene_and(found, _is_valid(values))


def _one_by_one(values: Node, known: list[object]) -> Node:
    if not known:
        # False, but null for null.
        return test("LOGICAL_AND", test("EQUAL", values, values), test("NOT_EQUAL", values, values))
    same = [compare("eq", values, constant(value, values)) for value in known]
    return reduce(lambda x, y: test("LOGICAL_OR", x, y), [node for node in same if not isinstance(node, str)])


def _looked_up(values: Node, known: list[object]) -> Node:
    # Looked up by hashes, in which zeros are one number, and NaN another.
    array = pa.array(known, values.dtype)
    made: list[tuple[Device, cuda.plc.Column]] = []

    def run(work: Work, column: cuda.plc.Column) -> cuda.plc.Column:
        if not made or made[0][0] is not work.device:
            made[:] = [(work.device, cuda.plc.Column.from_arrow(array, stream=work.stream))]
        return cuda.plc.search.contains(made[0][1], column, stream=work.stream)

    return call_of("IS_IN", run, values, dtype=pa.bool_())


KERNELS: dict[str, Kernel] = {name: _comparison(name) for name in _IEEE} | {
    "eq_missing": _missing(True),
    "ne_missing": _missing(False),
    "is_between": _is_between,
    "is_in": _is_in,
}
