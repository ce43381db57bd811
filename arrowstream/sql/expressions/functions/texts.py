"""Functions of texts. Places count from 1, and characters are those of Unicode."""

from __future__ import annotations

import polars as pl

from arrowstream.sql.expressions.casts import as_text
from arrowstream.sql.expressions.functions.call import Function, FunctionCall, text, truth, whole
from arrowstream.sql.expressions.typed import Typed


def _one(change: str) -> Function:
    """Return the function of one text that Polars calls `change`."""
    return lambda call: text(getattr(call.text(call.takes(1)[0]).str, change)())


def _length(call: FunctionCall) -> Typed:
    return whole(call.text(call.takes(1)[0]).str.len_chars())


def _substring(call: FunctionCall) -> Typed:
    """Cut from a place on. A place below 1 counts from the end, as -1 for the last character."""
    value, start, *length = call.takes(2, 3)
    characters = call.text(value)
    begin = call.written(start, int, "SUBSTRING(name, 1, 3)")
    count = call.written(length[0], int, "SUBSTRING(name, 1, 3)") if length else None
    assert isinstance(begin, int) and (count is None or isinstance(count, int))
    if begin < 1 or (count is not None and count < 0):
        raise call.error(
            f"{call.name} counts from 1",
            expected="a start of at least 1, and a length of at least 0",
            hint="RIGHT(name, 3) gives the last characters",
        )
    return text(characters.str.slice(begin - 1, count))


def _left(call: FunctionCall) -> Typed:
    value, count = call.takes(2)
    return text(call.text(value).str.head(_count(call, count)))


def _right(call: FunctionCall) -> Typed:
    value, count = call.takes(2)
    return text(call.text(value).str.tail(_count(call, count)))


def _count(call: FunctionCall, value: Typed) -> int:
    count = call.written(value, int, f"{call.name}(name, 3)")
    assert isinstance(count, int)
    return count


def _stripped(change: str) -> Function:
    def stripped(call: FunctionCall) -> Typed:
        value, *characters = call.takes(1, 2)
        what = call.written(characters[0], str, f"{call.name}(name, ' ')") if characters else " "
        return text(getattr(call.text(value).str, change)(what))

    return stripped


def _replace(call: FunctionCall) -> Typed:
    value, old, new = call.takes(3)
    pattern, instead = (str(call.written(each, str, "REPLACE(name, 'a', 'b')")) for each in (old, new))
    found = call.text(value)
    return text(found.str.replace_all(pattern, instead, literal=True) if pattern else found)


def _padded(change: str) -> Function:
    """Return LPAD or RPAD: a longer text is cut, whichever side is filled up."""

    def padded(call: FunctionCall) -> Typed:
        value, length, fill = call.takes(3)
        example = f"{call.name}(name, 8, '0')"
        count, character = call.written(length, int, example), call.written(fill, str, example)
        assert isinstance(count, int) and isinstance(character, str)
        if len(character) != 1:
            raise call.error(
                f"{call.name} fills up with one character", expected=example, found=repr(character)
            )
        return text(getattr(call.text(value).str, change)(max(count, 0), character).str.head(max(count, 0)))

    return padded


def _contains(call: FunctionCall) -> Typed:
    value, part = call.takes(2)
    return truth(call.text(value).str.contains(call.text(part), literal=True))


def _starts(call: FunctionCall) -> Typed:
    value, part = call.takes(2)
    return truth(call.text(value).str.starts_with(call.text(part)))


def _ends(call: FunctionCall) -> Typed:
    value, part = call.takes(2)
    return truth(call.text(value).str.ends_with(call.text(part)))


def _position(call: FunctionCall) -> Typed:
    """Count characters up to where a text first stands in another; 0 if it does not."""
    value, part = call.takes(2)
    pattern = call.written(part, str, f"{call.name}(name, 'a')")
    before = call.text(value).str.split(pattern).list.first().str.len_chars().cast(pl.Int64) + 1
    found = call.text(value).str.contains(pl.lit(pattern), literal=True)
    return whole(pl.when(found).then(before if pattern else pl.lit(1)).when(~found).then(pl.lit(0)))


def _split_part(call: FunctionCall) -> Typed:
    """Take a part between separators, the first being 1; empty if there are fewer."""
    value, separator, place = call.takes(3)
    part = call.written(place, int, "SPLIT_PART(url, '/', 4)")
    between = call.written(separator, str, "SPLIT_PART(url, '/', 4)")
    assert isinstance(part, int)
    if part < 1 or not between:
        raise call.error("SPLIT_PART counts from 1", expected="a part of at least 1, and a separator")
    found = call.text(value)
    parts = found.str.split(between).list.get(part - 1, null_on_oob=True)
    return text(pl.when(found.is_not_null()).then(parts.fill_null("")))


def _split_index(call: FunctionCall) -> Typed:
    """Take a part between separators, the first being 0, as Flink does; NULL if there are fewer."""
    value, separator, place = call.takes(3)
    part = call.written(place, int, "SPLIT_INDEX(url, '/', 3)")
    between = call.written(separator, str, "SPLIT_INDEX(url, '/', 3)")
    assert isinstance(part, int)
    if part < 0 or not between:
        raise call.error("SPLIT_INDEX counts from 0", expected="a part of at least 0, and a separator")
    return text(call.text(value).str.split(between).list.get(part, null_on_oob=True))


def _concat(call: FunctionCall) -> Typed:
    """Join texts, without those that are NULL."""
    parts = [as_text(call.reader.query, call.node, each) for each in call.takes(1, 100)]
    return text(pl.concat_str([part.expr.fill_null("") for part in parts]))


def _concat_separated(call: FunctionCall) -> Typed:
    """Join texts with a separator, without those that are NULL."""
    separator, *values = call.takes(2, 100)
    between = call.written(separator, str, "CONCAT_WS(', ', a, b)")
    parts = [as_text(call.reader.query, call.node, each).expr for each in values]
    return text(pl.concat_str(parts, separator=str(between), ignore_nulls=True))


def _count_of(call: FunctionCall) -> Typed:
    value, part = call.takes(2)
    pattern = call.written(part, str, "COUNT_CHAR(extra, 'c')")
    assert isinstance(pattern, str)
    return whole(call.text(value).str.count_matches(pattern, literal=True))


TEXTS: dict[str, Function] = {
    **dict.fromkeys(("UPPER", "UCASE"), _one("to_uppercase")),
    **dict.fromkeys(("LOWER", "LCASE"), _one("to_lowercase")),
    "REVERSE": _one("reverse"),
    **dict.fromkeys(("LENGTH", "CHAR_LENGTH", "CHARACTER_LENGTH"), _length),
    **dict.fromkeys(("SUBSTRING", "SUBSTR"), _substring),
    "LEFT": _left,
    "RIGHT": _right,
    "LPAD": _padded("pad_start"),
    "RPAD": _padded("pad_end"),
    **dict.fromkeys(("TRIM", "BTRIM"), _stripped("strip_chars")),
    "LTRIM": _stripped("strip_chars_start"),
    "RTRIM": _stripped("strip_chars_end"),
    "REPLACE": _replace,
    "CONTAINS": _contains,
    **dict.fromkeys(("STARTS_WITH", "STARTSWITH", "PREFIX"), _starts),
    **dict.fromkeys(("ENDS_WITH", "ENDSWITH", "SUFFIX"), _ends),
    **dict.fromkeys(("STRPOS", "INSTR"), _position),
    "SPLIT_PART": _split_part,
    "SPLIT_INDEX": _split_index,
    "CONCAT": _concat,
    "CONCAT_WS": _concat_separated,
    "COUNT_CHAR": _count_of,
}
