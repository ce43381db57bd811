"""Functions of text that libcudf computes byte by byte or character by character, as Polars does."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pyarrow as pa

from arrowstream.expressions.program import Call
from arrowstream.gpu.kernels.base import Kernel, int_of, text_of
from arrowstream.gpu.kernels.text_calls import (
    contains,
    count_bytes,
    count_characters,
    ends_with,
    joined,
    lower,
    padded,
    place,
    replaced,
    sliced,
    starts_with,
    stripped,
    upper,
)
from arrowstream.gpu.kernels.tree import Constant, Node, OperationFunction, apply, cast, choose, doubted, test
from arrowstream.gpu.kernels.tree import call as call_of

TEXT, _INT32 = pa.large_string(), pa.int32()

# Unicode's White_Space property, which Polars strips.
_WHITE_SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(
    map(chr, range(0x2000, 0x200B))
)
_MOST = 2**31 - 1
_NOT_CONSTANT = "what to look for must be constant text"
_UNICODE = "Unicode's rules may be of another version"
_REGEX = "regular expressions are read differently"


def _over_a_column(kernel: Kernel) -> Kernel:
    """Return `kernel` for calls whose first argument is a column of strings; refuse any other."""

    def checked(call: Call, first: Node, *others: Node) -> Node | str:
        if isinstance(first, Constant):
            return "a function of constants only"
        return kernel(call, first, *others) if first.dtype == TEXT else f"{first.dtype} is not a string type"

    return checked


def _length(run: OperationFunction) -> Kernel:
    return lambda call, values: cast(call_of("COUNT", run, values, dtype=_INT32), call.dtype)


def only_ascii(values: Node) -> Node:
    """Return the values, but leave batches with text that is not ASCII to Polars."""
    lengths = [call_of("COUNT", run, values, dtype=_INT32) for run in (count_bytes, count_characters)]
    return doubted(values, test("NOT_EQUAL", *lengths))


def _ascii(run: OperationFunction) -> Kernel:
    """Return a kernel for ASCII: for other text, versions of Unicode differ."""
    return lambda call, values: call_of("CASE", run, only_ascii(values), dtype=TEXT)


def _literal(kernel: Callable[[Node, str], Node]) -> Kernel:
    """Return the kernel of a search for constant text, of calls whose first option may say that it is a pattern."""

    def checked(call: Call, values: Node, sought: Node, *others: Node) -> Node | str:
        text = text_of(sought)
        if text is None:
            return _NOT_CONSTANT
        return kernel(values, text) if _is_plain(text, call.options) else f"{_REGEX}: {text!r}"

    return checked


def _is_plain(text: str, options: tuple[object, ...]) -> bool:
    """Return whether text is searched as it is: by option, or because no character of it is special."""
    literal = options[0] if options else True
    return bool(literal) or not set(text) & set("\\.+*?()|[]{}^$")


def _found(match: Callable[[str], OperationFunction]) -> Callable[[Node, str], Node]:
    return lambda values, text: call_of("FIND", match(text), values, dtype=pa.bool_())


def _contains_any(call: Call, values: Node, patterns: Node) -> Node | str:
    (ascii_case_insensitive,) = call.options
    if ascii_case_insensitive:
        return "ASCII case folding is not offered by the GPU"
    if not isinstance(patterns, Constant) or not patterns.value or None in patterns.value:
        return "the texts to look for must be a constant list without nulls"
    first, *others = [_found(contains)(values, text) for text in patterns.value]
    for other in others:
        first = test("LOGICAL_OR", first, other)
    return first


def _find(values: Node, text: str) -> Node:
    # libcudf counts characters and Polars bytes, which are the same in ASCII.
    at = call_of("FIND", place(text), only_ascii(values), dtype=_INT32)
    missing = test("LESS", at, Constant(0, _INT32))
    return cast(choose(missing, Constant(None, _INT32), at), pa.uint32())


def _replace(call: Call, values: Node, sought: Node, new: Node) -> Node | str:
    times, literal = call.options
    text, replacement = text_of(sought), text_of(new)
    if not text:
        return "what to look for must be constant text and not empty"
    if replacement is None or ("$" in replacement and not literal):
        return "the replacement must be constant text without groups of the expression"
    if not _is_plain(text, (literal,)):
        return f"{_REGEX}: {text!r}"
    return call_of("REPLACE", replaced(text, replacement, times), values, dtype=TEXT)


def _strip(side: str) -> Kernel:
    def kernel(call: Call, values: Node, characters: Node) -> Node | str:
        if not isinstance(characters, Constant):
            return "the characters to strip must be constant"
        if characters.value is None and not pa.types.is_null(characters.dtype):
            return "the characters to strip are a null string"
        unwanted = _WHITE_SPACE if characters.value is None else characters.value
        return call_of("STRIP", stripped(side, unwanted), values, dtype=TEXT) if unwanted else values

    return kernel


def _strip_prefix(call: Call, values: Node, prefix: Node) -> Node | str:
    text = text_of(prefix)
    if text is None:
        return "the prefix must be constant text"
    return choose(_found(starts_with)(values, text), _cut(values, len(text), None), values)


def _strip_suffix(call: Call, values: Node, suffix: Node) -> Node | str:
    text = text_of(suffix)
    if not text:
        return "the suffix must be constant text and not empty"
    return choose(_found(ends_with)(values, text), _cut(values, 0, -len(text)), values)


def _cut(values: Node, start: int, stop: int | None) -> Node:
    """Return a slice of the characters ``[start, stop)``, counted from the end if negative, as in Python."""
    limits = [None if limit is None else max(-_MOST, min(limit, _MOST)) for limit in (start, stop)]
    return call_of("SLICE", sliced(limits[0], limits[1]), values, dtype=TEXT)


def _slice(call: Call, values: Node, first: Node, count: Node) -> Node | str:
    offset, length = int_of(first), int_of(count)
    to_the_end = isinstance(count, Constant) and count.value is None
    if offset is None or (length is None and not to_the_end):
        return "offset and length must be constant"
    if length is None:
        return _cut(values, offset, None)
    stop = offset + length
    # A slice that counts from the end and reaches it has no negative stop: 0 would mean the start.
    return _cut(values, offset, None if offset < 0 <= stop else stop)


def _head(call: Call, values: Node, number: Node) -> Node | str:
    count = int_of(number)
    return "the number of characters must be constant" if count is None else _cut(values, 0, count)


def _tail(call: Call, values: Node, number: Node) -> Node | str:
    count = int_of(number)
    if count is None:
        return "the number of characters must be constant"
    return _cut(values, 0, 0) if count == 0 else _cut(values, -count, None)


def _pad(side: str) -> Kernel:
    def kernel(call: Call, values: Node, width: Node) -> Node | str:
        (fill,) = call.options
        length = int_of(width)
        if length is None or length > _MOST:
            return "the length must be constant"
        return call_of("PAD", padded(side, length, fill), values, dtype=TEXT)

    return kernel


def _not_joinable(arguments: tuple[Node, ...]) -> str | None:
    others = [str(argument.dtype) for argument in arguments if argument.dtype != TEXT]
    return f"cannot join {', '.join(others)} with strings" if others else None


def _concat_horizontal(call: Call, *arguments: Node) -> Node | str:
    separator, ignore_nulls = call.options
    if reason := _not_joinable(arguments):
        return reason
    if len(arguments) == 1:
        if not ignore_nulls:
            return arguments[0]
        return apply("COALESCE", arguments[0], Constant("", TEXT))
    return call_of("JOIN", joined(separator, ignore_nulls), *arguments, dtype=TEXT)


def _format(call: Call, *arguments: Node) -> Node | str:
    """Insert an argument into the template's text at each of the given byte offsets."""
    template, offsets = call.options
    if reason := _not_joinable(arguments):
        return reason
    text = template.encode()
    between = [text[start:stop].decode() for start, stop in pairwise([0, *offsets, len(text)])]
    pieces: list[Node] = [Constant(between[0], TEXT)]
    for argument, after in zip(arguments, between[1:], strict=True):
        pieces += [argument, Constant(after, TEXT)]
    return call_of("JOIN", joined("", False), *pieces, dtype=TEXT)


_OVER_A_COLUMN: dict[str, Kernel] = {
    "str.len_bytes": _length(count_bytes),
    "str.len_chars": _length(count_characters),
    "str.uppercase": _ascii(upper),
    "str.lowercase": _ascii(lower),
    "str.normalize": lambda call, values: only_ascii(values),
    "str.contains": _literal(_found(contains)),
    "str.contains_any": _contains_any,
    "str.starts_with": _literal(_found(starts_with)),
    "str.ends_with": _literal(_found(ends_with)),
    "str.find": _literal(_find),
    "str.replace": _replace,
    "str.strip_chars": _strip("BOTH"),
    "str.strip_chars_start": _strip("LEFT"),
    "str.strip_chars_end": _strip("RIGHT"),
    "str.strip_prefix": _strip_prefix,
    "str.strip_suffix": _strip_suffix,
    "str.slice": _slice,
    "str.head": _head,
    "str.tail": _tail,
    "str.pad_start": _pad("LEFT"),
    "str.pad_end": _pad("RIGHT"),
}

KERNELS: dict[str, Kernel] = {
    **{name: _over_a_column(kernel) for name, kernel in _OVER_A_COLUMN.items()},
    "str.concat_horizontal": _concat_horizontal,
    "str.format": _format,
}

REFUSED = {
    "str.titlecase": _UNICODE,
    "str.reverse": _UNICODE,
    "str.count_matches": _REGEX,
    "str.zfill": "versions of Polars count differently after a sign",
    "str.split": "lists stay in host memory",
}
"""Functions that are left to the CPU, and why."""
