"""LIKE and ILIKE."""

from __future__ import annotations

import re

import polars as pl
from sqlglot import exp

from arrowstream.sql.expressions.typed import Typed, name_of
from arrowstream.sql.places import QueryText

_SPECIAL = re.compile(r"[\\.+*?()|\[\]{}^$#&~-]")
"""Characters with a meaning in regular expressions."""


def like(query: QueryText, node: exp.Expr, value: Typed, pattern: Typed, escape: Typed | None) -> pl.Expr:
    """Return whether a text is as a pattern says: ``%`` stands for any text, ``_`` for any character.

    Raises
    ------
    QueryError
        It is not text, or the pattern is not written in the query.
    """
    if not value.is_text and not value.is_null:
        raise query.error(node, "LIKE is for text", expected="VARCHAR", found=name_of(value.dtype))
    text = value.expr.cast(pl.String)
    if pattern.is_null or value.is_null:
        return pl.lit(None, pl.Boolean)
    if not (pattern.constant and isinstance(pattern.value, str)) or (
        escape is not None and not escape.constant
    ):
        raise query.error(
            node,
            "the pattern of LIKE stands in the query",
            expected="such as name LIKE 'a%'",
            found=query.source(node),
        )
    parts = _parts(pattern.value, None if escape is None else escape.value)
    if not isinstance(node, exp.ILike) and (plain := _plain(text, parts)) is not None:
        return plain
    flags = "(?is)" if isinstance(node, exp.ILike) else "(?s)"
    return text.str.contains(f"{flags}^{''.join(_regex(part) for part in parts)}$")


def _parts(pattern: str, escape: str | None) -> list[str | None]:
    """Return texts, None for ``%``, and an empty text for ``_``."""
    parts: list[str | None] = []
    literal = ""
    places = iter(pattern)
    for character in places:
        if escape and character == escape:
            literal += next(places, "")
        elif character in "%_":
            parts += [literal] if literal else []
            parts.append(None if character == "%" else "")
            literal = ""
        else:
            literal += character
    return [*parts, literal] if literal else parts


def _plain(text: pl.Expr, parts: list[str | None]) -> pl.Expr | None:
    """Return the function that does the same without a regular expression; None if there is none."""
    match parts:
        case [str(only)] if only:
            return text == only
        case [None, str(inner), None] if inner:
            return text.str.contains(inner, literal=True)
        case [str(begin), None] if begin:
            return text.str.starts_with(begin)
        case [None, str(end)] if end:
            return text.str.ends_with(end)
    return None


def _regex(part: str | None) -> str:
    if part is None:
        return ".*"
    return _SPECIAL.sub(r"\\\g<0>", part) if part else "."
