"""Functions of texts and regular expressions, which stand in the query."""

from __future__ import annotations

import re

import polars as pl

from arrowstream.sql.expressions.functions.call import Function, FunctionCall, text, truth
from arrowstream.sql.expressions.typed import Typed


def _pattern(call: FunctionCall, value: Typed) -> str:
    pattern = call.written(value, str, f"{call.name}(name, '[0-9]+')")
    assert isinstance(pattern, str)
    try:
        pl.select(pl.lit("").str.contains(pattern))
    except pl.exceptions.PolarsError as error:
        raise call.error("the regular expression cannot be read", found=str(error).split("\n")[-1]) from None
    return pattern


def _extract(call: FunctionCall) -> Typed:
    """Take what a group of a regular expression has found; empty if the text does not match."""
    value, pattern, *group = call.takes(2, 3)
    number = call.written(group[0], int, "REGEXP_EXTRACT(url, 'id=([0-9]+)', 1)") if group else 0
    assert isinstance(number, int)
    found = call.text(value)
    part = found.str.extract(_pattern(call, pattern), number)
    return text(pl.when(found.is_not_null()).then(part.fill_null("")))


def _replace_matches(call: FunctionCall) -> Typed:
    r"""Replace the first match, or all with ``'g'``. ``\\1`` is what the first group has found, ``\\0`` all of it."""
    value, pattern, new, *options = call.takes(3, 4)
    example = f"{call.name}(name, '[0-9]+', '#', 'g')"
    flags = str(call.written(options[0], str, example)) if options else ""
    if flags not in ("", "g"):
        raise call.error(f"{call.name} has the option 'g' alone", expected=example, found=repr(flags))
    expression, instead = _pattern(call, pattern), str(call.written(new, str, example))
    groups = len(pl.select(pl.lit("").str.extract_groups(expression)).to_series().struct.fields)
    replacement = _replacement(call, instead, groups)
    change = call.text(value).str.replace_all if flags else call.text(value).str.replace
    # Polars before 2 takes the replacement of an expression of letters alone as it is, with its $$.
    return text(change(f"(?:{expression})", replacement))


def _replacement(call: FunctionCall, written: str, groups: int) -> str:
    r"""Return a replacement as Polars writes it: ``${1}`` in place of ``\\1``."""

    def part(found: re.Match[str]) -> str:
        escaped = found[1]
        if escaped == "\\":
            return escaped
        if escaped.isdecimal() and int(escaped) <= groups:
            return f"${{{escaped}}}"
        raise call.error(
            f"the replacement of {call.name} cannot be read",
            expected=rf"\0 to \{groups} for groups of the expression, and \\ for a backslash",
            found=repr(written),
        )

    return re.sub(r"\\(.?)", part, written.replace("$", "$$"), flags=re.DOTALL)


def _matches(call: FunctionCall) -> Typed:
    value, pattern = call.takes(2)
    return truth(call.text(value).str.contains(_pattern(call, pattern)))


def _full_match(call: FunctionCall) -> Typed:
    value, pattern = call.takes(2)
    return truth(call.text(value).str.contains(f"^(?:{_pattern(call, pattern)})$"))


REGEXPS: dict[str, Function] = {
    "REGEXP_EXTRACT": _extract,
    "REGEXP_REPLACE": _replace_matches,
    "REGEXP_MATCHES": _matches,
    "REGEXP_FULL_MATCH": _full_match,
}
