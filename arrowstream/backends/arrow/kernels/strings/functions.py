"""Polars' string functions, as far as Arrow can give the same bytes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pyarrow as pa
import pyarrow.compute as pc

from arrowstream.backends.arrow.kernels.arguments import is_text
from arrowstream.backends.arrow.kernels.base import Evaluate, Kernel, Values
from arrowstream.backends.arrow.kernels.scalars import scalar
from arrowstream.backends.arrow.kernels.strings import edit, search
from arrowstream.expressions.program import Call, is_constant


def _over_a_column(kernel: Kernel) -> Kernel:
    """Return `kernel` for calls whose first argument is a column of strings; refuse any other."""

    def checked(call: Call) -> Evaluate | str:
        first = call.arguments[0]
        if is_constant(first):
            return "a function of constants only"
        return kernel(call) if is_text(first.dtype) else f"{first.dtype} is not a string type"

    return checked


def _join(
    values: Sequence[Values], dtype: pa.DataType, separator: str = "", nulls: str = "emit_null"
) -> Values:
    # Arrow joins values of one string type only.
    alike = [value if value.type == dtype else value.cast(dtype) for value in values]
    between = scalar(separator, dtype)
    return pc.binary_join_element_wise(*alike, between, null_handling=nulls, null_replacement="")


def _not_joinable(call: Call) -> str | None:
    if all(map(is_constant, call.arguments)):
        return "a function of constants only"
    others = [str(argument.dtype) for argument in call.arguments if not is_text(argument.dtype)]
    return f"cannot join {', '.join(others)} with strings" if others else None


def _concat_horizontal(call: Call) -> Evaluate | str:
    separator, ignore_nulls = call.options

    def evaluate(*values: Values) -> Values:
        if not ignore_nulls:
            return _join(values, call.dtype, separator)
        # Arrow's option to skip nulls loses the rows that are null in every column. So each value is joined
        # to its separator, which gives null for a null, and the first separator is cut off.
        pieces = [_join((scalar(separator, call.dtype), value), call.dtype) for value in values]
        return pc.utf8_slice_codeunits(_join(pieces, call.dtype, nulls="replace"), len(separator))

    return _not_joinable(call) or evaluate


def _format(call: Call) -> Evaluate | str:
    """Insert an argument into the template's text at each of the given byte offsets."""
    template, offsets = call.options
    text = template.encode()
    cuts = [0, *offsets, len(text)]
    between = [scalar(text[start:stop].decode(), call.dtype) for start, stop in pairwise(cuts)]

    def evaluate(*values: Values) -> Values:
        pieces = [between[0]]
        for value, after in zip(values, between[1:], strict=True):
            pieces += [value, after]
        return _join(pieces, call.dtype)

    return _not_joinable(call) or evaluate


_OVER_A_COLUMN = {**search.KERNELS, **edit.KERNELS}

KERNELS: dict[str, Kernel] = {
    **{name: _over_a_column(kernel) for name, kernel in _OVER_A_COLUMN.items()},
    "str.concat_horizontal": _concat_horizontal,
    "str.format": _format,
}
