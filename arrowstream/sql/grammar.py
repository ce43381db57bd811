"""From text to a tree: DuckDB's SQL as sqlglot reads it, with Flink's functions of windows.

Flink writes ``TABLE(TUMBLE(TABLE bids, DESCRIPTOR(ts), INTERVAL '10' SECOND))``, which sqlglot does not know. The
words ``TABLE`` are taken out of the tokens before they are read, so that ``TUMBLE(bids, ...)`` is a call like any
other, and ``PARTITION BY a, b`` in such a call becomes ``PARTITION_BY(a, b)``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from sqlglot import exp
from sqlglot.dialects.duckdb import DuckDB
from sqlglot.errors import ParseError, TokenError
from sqlglot.parsers.duckdb import DuckDBParser
from sqlglot.tokenizer_core import Token, TokenType

from arrowstream.errors import QueryError
from arrowstream.sql.places import QueryText
from arrowstream.sql.strict import check_commas, check_order

WINDOWS = ("TUMBLE", "HOP", "SESSION")
"""The functions of windows."""

_OWN_SYNTAX = ("CAST", "EXTRACT", "POSITION", "SUBSTRING", "TRIM", "TRY_CAST")
"""The functions whose arguments may be written with words, such as ``EXTRACT(YEAR FROM ts)``."""

_CALL, _END = TokenType.L_PAREN, TokenType.R_PAREN


class _Dialect(DuckDB):
    class Parser(DuckDBParser):
        # Every function keeps its name and arguments: `arrowstream.sql.expressions.functions` says what it means.
        FUNCTIONS: ClassVar[dict[str, Callable[..., Any]]] = {}
        FUNCTION_PARSERS: ClassVar[dict[str, Callable[..., Any]]] = {
            name: parser for name, parser in DuckDBParser.FUNCTION_PARSERS.items() if name in _OWN_SYNTAX
        }


def parse(text: str) -> tuple[QueryText, exp.Expr]:
    """Read one query.

    Parameters
    ----------
    text
        The text.

    Raises
    ------
    QueryError
        It is not SQL, holds no query, or more than one.
    """
    dialect = _Dialect()
    try:
        found = dialect.tokenize(text)
    except TokenError:
        raise _unfinished(text) from None
    query = QueryText(text, found)
    try:
        statements = [each for each in dialect.parser().parse(_plain(found), text) if each is not None]
    except ParseError as error:
        (first, *_) = error.errors
        raise QueryError(
            f"the query is not SQL: {_described(first['description'])}",
            line=first["line"],
            # sqlglot counts up to the end of the word that it did not expect.
            column=max(first["col"] - len(first["highlight"]) + 1, 1),
            found=first["highlight"] or None,
            hint=None if _begins(found) else f"a query begins with SELECT or WITH, not with {found[0].text}",
        ) from None
    if len(statements) != 1:
        raise QueryError(
            "a query is one SELECT",
            line=1,
            column=1,
            found=f"{len(statements)} statements" if text.strip() else "no text",
        )
    check_commas(query, found)
    check_order(query, found)
    return query, statements[0]


def _described(description: str) -> str:
    """Return what sqlglot says of an error, without names of its classes."""
    if description.startswith("Required keyword") or "Token" in description:
        return "something is missing here"
    return description.rstrip(".")


def _unfinished(text: str) -> QueryError:
    """Return the error for a text whose words cannot be told apart, as a quote or a comment has no end."""
    first = next((part for part in _PARTS.finditer(text) if part["begin"]), None)
    at, begin = (0, "") if first is None else (first.start(), first["begin"])
    return QueryError(
        f"the query is not SQL: {_OPENED.get(begin, 'its words cannot be told apart')}",
        line=text.count("\n", 0, at) + 1,
        column=at - text.rfind("\n", 0, at),
        found=text[at:].partition("\n")[0],
        hint="write 'it''s' for a quote inside a text" if begin == "'" else None,
    )


_OPENED = {
    "'": "a text in single quotes has no end",
    '"': "a name in double quotes has no end",
    "/*": "a comment has no end",
}
_PARTS = re.compile(
    r"""'(?:[^']|'')*' | "(?:[^"]|"")*" | --[^\n]* | /\*.*?\*/ | (?P<begin>'|"|/\*)""", re.DOTALL | re.VERBOSE
)
"""Quotes and comments; those that have no end are ``begin`` alone."""


def _begins(found: Sequence[Token]) -> bool:
    """Return whether the first word is one that a query begins with."""
    return not found or found[0].text.upper() in ("SELECT", "WITH", "(")


def _plain(found: Sequence[Token]) -> list[Token]:
    """Return the tokens with functions of windows as plain calls."""
    left_out: set[int] = set()
    made: dict[int, list[Token]] = {}
    for at, token in enumerate(found):
        if not _is_window(found, at):
            continue
        made[at] = [_like(token, TokenType.VAR, token.text)]
        end = _closing(found, at + 1)
        if at >= 2 and found[at - 1].token_type == _CALL and found[at - 2].token_type == TokenType.TABLE:
            left_out |= {at - 2, at - 1, _closing(found, at - 1)}
        if at + 2 < len(found) and found[at + 2].token_type == TokenType.TABLE:
            left_out.add(at + 2)
        for inner in range(at + 2, end):
            if found[inner].token_type == TokenType.PARTITION_BY:
                made |= _partition(found, inner, end)
    return [new for at, token in enumerate(found) if at not in left_out for new in made.get(at, [token])]


def _is_window(found: Sequence[Token], at: int) -> bool:
    return (
        found[at].text.upper() in (*WINDOWS, "CUMULATE")
        and at + 1 < len(found)
        and found[at + 1].token_type == _CALL
    )


def _partition(found: Sequence[Token], at: int, end: int) -> dict[int, list[Token]]:
    """Return what stands in place of ``PARTITION BY a, b`` and of the comma after it."""
    begin = found[at]
    call = [
        _like(begin, TokenType.COMMA, ","),
        _like(begin, TokenType.VAR, "PARTITION_BY"),
        _like(begin, _CALL, "("),
    ]
    last = at + 1
    while last + 1 < end and not (
        found[last + 1].token_type == TokenType.COMMA and _names_times(found, last + 2)
    ):
        last += 1
    return {at: call, last: [found[last], _like(found[last], _END, ")")]}


def _names_times(found: Sequence[Token], at: int) -> bool:
    return found[at].text.upper() == "DESCRIPTOR"


def _closing(found: Sequence[Token], at: int) -> int:
    """Return the number of the bracket that closes the one at `at`; the last token if none does."""
    depth = 0
    for place in range(at, len(found)):
        depth += {_CALL: 1, _END: -1}.get(found[place].token_type, 0)
        if not depth:
            return place
    return len(found) - 1


def _like(token: Token, kind: TokenType, text: str) -> Token:
    return Token(kind, text, token.line, token.col, token.start, token.end)
