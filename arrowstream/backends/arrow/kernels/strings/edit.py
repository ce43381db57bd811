"""Measuring and reshaping strings: length, case, slices, padding, stripping, joining, splitting."""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from arrowstream.backends.arrow.kernels.arguments import constant_int, constant_text
from arrowstream.backends.arrow.kernels.base import Evaluate, Kernel
from arrowstream.backends.arrow.kernels.fallback import InPolars, fast_where
from arrowstream.backends.arrow.kernels.scalars import scalar
from arrowstream.backends.arrow.kernels.strings.ascii import is_ascii, text_bytes
from arrowstream.expressions.program import Call, Literal

# Unicode's White_Space property, which Polars strips; Arrow's definition adds U+001C to U+001F.
_WHITE_SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(
    map(chr, range(0x2000, 0x200B))
)

_SIGNS = np.frombuffer(b"+-", np.uint8)


def _is_one_byte_clusters(values: pa.Array) -> bool:
    """Return whether every byte is one grapheme: ASCII without carriage returns, which pair with line feeds."""
    return is_ascii(values) and not bool((text_bytes(values) == ord("\r")).any())


def _length(measure: Callable[..., pa.Array]) -> Kernel:
    return lambda call: lambda values: measure(values).cast(call.dtype)


def _ascii(fast: Evaluate, slow: InPolars, safe: Callable[[pa.Array], bool] = is_ascii) -> Kernel:
    """Return a kernel that uses Arrow for ASCII only: on other text the libraries follow different Unicode rules."""
    return lambda call: fast_where(safe, fast, slow, call.dtype)


def _normalize(call: Call) -> Evaluate | str:
    (form,) = call.options
    return fast_where(is_ascii, lambda values: values, lambda s: s.str.normalize(form.upper()), call.dtype)


def _strip(trim: Callable[..., pa.Array]) -> Kernel:
    def kernel(call: Call) -> Evaluate | str:
        argument = call.arguments[1]
        if not isinstance(argument, Literal):
            return "the characters to strip must be constant"
        if argument.value is None and not pa.types.is_null(argument.dtype):
            return "the characters to strip are a null string"
        characters = _WHITE_SPACE if argument.value is None else argument.value
        return lambda values, *_: trim(values, characters) if characters else values

    return kernel


def _strip_prefix(call: Call) -> Evaluate | str:
    prefix = constant_text(call, 1)
    if prefix is None:
        return "the prefix must be constant text"
    return lambda values, *_: pc.if_else(
        pc.starts_with(values, prefix), pc.utf8_slice_codeunits(values, len(prefix)), values
    )


def _strip_suffix(call: Call) -> Evaluate | str:
    suffix = constant_text(call, 1)
    if not suffix:
        return "the suffix must be constant text and not empty"
    return lambda values, *_: pc.if_else(
        pc.ends_with(values, suffix), pc.utf8_slice_codeunits(values, 0, -len(suffix)), values
    )


def _cut(start: int, stop: int | None) -> Evaluate:
    """Return a slice of the characters ``[start, stop)``, counted from the end if negative, as in Python."""
    return lambda values, *_: pc.utf8_slice_codeunits(values, start, stop)


def _slice(call: Call) -> Evaluate | str:
    offset, length = constant_int(call, 1), constant_int(call, 2)
    to_the_end = isinstance(call.arguments[2], Literal) and call.arguments[2].value is None
    if offset is None or (length is None and not to_the_end):
        return "offset and length must be constant"
    if length is None:
        return _cut(offset, None)
    stop = offset + length
    # A slice that counts from the end and reaches it has no negative stop: 0 would mean the start.
    return _cut(offset, None if offset < 0 <= stop else min(stop, sys.maxsize))


def _head(call: Call) -> Evaluate | str:
    count = constant_int(call, 1)
    return "the number of characters must be constant" if count is None else _cut(0, count)


def _tail(call: Call) -> Evaluate | str:
    count = constant_int(call, 1)
    if count is None:
        return "the number of characters must be constant"
    return _cut(0, 0) if count == 0 else _cut(-count, None)


def _pad(pad: Callable[..., pa.Array]) -> Kernel:
    def kernel(call: Call) -> Evaluate | str:
        (fill,) = call.options
        width = constant_int(call, 1)
        return "the length must be constant" if width is None else lambda values, *_: pad(values, width, fill)

    return kernel


def _zfill(call: Call) -> Evaluate | str:
    width = constant_int(call, 1)
    if not width:
        return "the length must be constant and above 0"

    def fast(values: pa.Array, *_: pa.Array) -> pa.Array:
        if not np.isin(text_bytes(values), _SIGNS).any():
            return pc.ascii_lpad(values, width, "0")
        first = pc.utf8_slice_codeunits(values, 0, 1)
        rest = pc.ascii_lpad(pc.utf8_slice_codeunits(values, 1), width - 1, "0")
        signed = pc.or_(pc.equal(first, scalar("-")), pc.equal(first, scalar("+")))
        joined = pc.binary_join_element_wise(first, rest, scalar("", values.type))
        return pc.if_else(signed, joined, pc.ascii_lpad(values, width, "0"))

    # Polars 1 counts bytes after a sign, Polars 2 counts characters: only ASCII has as many of both.
    return fast_where(is_ascii, fast, lambda s: s.str.zfill(width), call.dtype)


def _split(call: Call) -> Evaluate | str:
    (inclusive,) = call.options
    by = constant_text(call, 1)
    if inclusive or not by:
        return "only a constant separator that is not empty and not kept can be split at"
    return lambda values, *_: pc.split_pattern(values, by).cast(call.dtype)


KERNELS: dict[str, Kernel] = {
    "str.len_bytes": _length(pc.binary_length),
    "str.len_chars": _length(pc.utf8_length),
    "str.uppercase": _ascii(pc.ascii_upper, lambda s: s.str.to_uppercase()),
    "str.lowercase": _ascii(pc.ascii_lower, lambda s: s.str.to_lowercase()),
    "str.titlecase": _ascii(pc.ascii_title, lambda s: s.str.to_titlecase()),
    "str.reverse": _ascii(pc.ascii_reverse, lambda s: s.str.reverse(), _is_one_byte_clusters),
    "str.normalize": _normalize,
    "str.strip_chars": _strip(pc.utf8_trim),
    "str.strip_chars_start": _strip(pc.utf8_ltrim),
    "str.strip_chars_end": _strip(pc.utf8_rtrim),
    "str.strip_prefix": _strip_prefix,
    "str.strip_suffix": _strip_suffix,
    "str.slice": _slice,
    "str.head": _head,
    "str.tail": _tail,
    "str.pad_start": _pad(pc.utf8_lpad),
    "str.pad_end": _pad(pc.utf8_rpad),
    "str.zfill": _zfill,
    "str.split": _split,
}
