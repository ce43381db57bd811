"""Comparisons, in Polars' total order of floats: NaN equals NaN and is above every number."""

from __future__ import annotations

import math

import pyarrow as pa
import pyarrow.compute as pc

from arrowstream.backends.arrow.kernels.base import Evaluate, Kernel, Values
from arrowstream.backends.arrow.kernels.scalars import array, scalar
from arrowstream.backends.arrow.kernels.types import is_bytes, is_float, is_integer, is_moment, is_plain
from arrowstream.expressions.program import Call, Expression, Literal

_IEEE = {
    "eq": pc.equal,
    "ne": pc.not_equal,
    "lt": pc.less,
    "le": pc.less_equal,
    "gt": pc.greater,
    "ge": pc.greater_equal,
}


def _not(evaluate: Evaluate) -> Evaluate:
    return lambda *values: pc.invert(evaluate(*values))


def _swapped(evaluate: Evaluate) -> Evaluate:
    return lambda x, y: evaluate(y, x)


def _floats_equal(x: Values, y: Values) -> Values:
    return pc.or_(pc.equal(x, y), pc.and_(pc.is_nan(x), pc.is_nan(y)))


def _float_less(x: Values, y: Values) -> Values:
    return pc.and_(pc.invert(pc.less_equal(y, x)), pc.invert(pc.is_nan(x)))


_TOTAL = {
    "eq": _floats_equal,
    "ne": _not(_floats_equal),
    "lt": _float_less,
    "le": _not(_swapped(_float_less)),
    "gt": _swapped(_float_less),
    "ge": _not(_float_less),
}
# Against a number that is not NaN, IEEE comparison is right except for NaN, which must be above the number.
_WITH_NUMBER = _IEEE | {"gt": _not(pc.less_equal), "ge": _not(pc.less)}


def _is_number(expression: Expression) -> bool:
    return (
        isinstance(expression, Literal)
        and isinstance(expression.value, float)
        and not math.isnan(expression.value)
    )


def compare(name: str, left: Expression, right: Expression) -> Evaluate | str:
    """Return the function that compares two values of one type, or the reason to refuse it.

    Parameters
    ----------
    name
        ``"eq"``, ``"ne"``, ``"lt"``, ``"le"``, ``"gt"`` or ``"ge"``.
    left, right
        The expressions to compare.
    """
    dtype = left.dtype
    if dtype != right.dtype:
        return f"{dtype} and {right.dtype} are compared after a cast"
    if is_float(dtype):
        return (_WITH_NUMBER if _is_number(right) else _TOTAL)[name]
    return _IEEE[name] if is_plain(dtype) else f"{dtype} has no order here"


def _comparison(name: str) -> Kernel:
    return lambda call: compare(name, *call.arguments)


def _missing(equal: bool) -> Kernel:
    """Return a kernel of equality, or of its opposite, in which null equals only null."""

    def kernel(call: Call) -> Evaluate | str:
        same = compare("eq", *call.arguments)
        if isinstance(same, str):
            return same

        def evaluate(x: Values, y: Values) -> Values:
            return pc.coalesce(same(x, y), pc.and_(pc.is_null(x), pc.is_null(y)))

        return evaluate if equal else _not(evaluate)

    return kernel


_CLOSED = {"both": ("ge", "le"), "left": ("ge", "lt"), "right": ("gt", "le"), "none": ("gt", "lt")}


def _is_between(call: Call) -> Evaluate | str:
    (closed,) = call.options
    values, low, high = call.arguments
    above, below = compare(_CLOSED[closed][0], values, low), compare(_CLOSED[closed][1], values, high)
    if isinstance(above, str):
        return above
    if isinstance(below, str):
        return below
    return lambda x, low, high: pc.and_kleene(above(x, low), below(x, high))


def _is_in(call: Call) -> Evaluate | str:
    (nulls_equal,) = call.options
    values, members = call.arguments
    dtype = values.dtype
    if not isinstance(members, Literal) or members.value is None:
        return "the members must be constant"
    if members.dtype.value_type != dtype:
        return f"{dtype} among {members.dtype.value_type} is looked up after a cast"
    if not (is_integer(dtype) or is_float(dtype) or is_bytes(dtype) or is_moment(dtype)):
        return f"not for {dtype}"
    known = [value for value in members.value if value is not None]
    if is_float(dtype) and 0.0 in known:
        known += [0.0, -0.0]  # Arrow looks numbers up by their bits
    lookup = pc.SetLookupOptions(value_set=array(known, dtype), skip_nulls=True)
    null_is_in, unknown = None in members.value, scalar(None, pa.bool_())

    def evaluate(x: Values, _: Values) -> Values:
        found = pc.is_in(x, options=lookup)
        if not x.null_count:
            return found
        if nulls_equal:
            return pc.or_(found, pc.is_null(x)) if null_is_in else found
        return pc.if_else(pc.is_valid(x), found, unknown)

    return evaluate


KERNELS: dict[str, Kernel] = {name: _comparison(name) for name in _IEEE} | {
    "eq_missing": _missing(True),
    "ne_missing": _missing(False),
    "is_between": _is_between,
    "is_in": _is_in,
}
