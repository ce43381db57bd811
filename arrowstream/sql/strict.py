"""What sqlglot reads although it is not SQL: ``a,, b``, clauses in another order, ``a = b = c``.

DuckDB refuses all of these. sqlglot takes them for what was perhaps meant, so that a slip of the pen changes rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from sqlglot import exp
from sqlglot.tokenizer_core import Token, TokenType

from arrowstream.sql.places import QueryText

_ORDER: Final = {
    TokenType.JOIN: 1,
    TokenType.WHERE: 2,
    TokenType.GROUP_BY: 3,
    TokenType.HAVING: 4,
    TokenType.QUALIFY: 5,
    TokenType.ORDER_BY: 6,
    TokenType.LIMIT: 7,
    TokenType.OFFSET: 7,
}
"""Clauses after FROM, which is left out as it is also a word of ``IS DISTINCT FROM``."""

_MAY_BE_NAMES: Final = (TokenType.LIMIT, TokenType.OFFSET)
"""Clauses only before a number; else names of columns."""

_BEGIN: Final = (TokenType.SELECT, TokenType.UNION, TokenType.EXCEPT, TokenType.INTERSECT)
_OPEN: Final = (TokenType.L_PAREN, TokenType.L_BRACKET, TokenType.L_BRACE)
_CLOSE: Final = (TokenType.R_PAREN, TokenType.R_BRACKET, TokenType.R_BRACE)
_BEFORE_A_VALUE: Final = (*_OPEN, TokenType.COMMA, TokenType.SELECT, TokenType.DISTINCT)

_COMPARISONS: Final = (exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE)


def check_commas(query: QueryText, found: Sequence[Token]) -> None:
    """Raise for a comma before which nothing stands.

    Raises
    ------
    QueryError
        There is one.
    """
    for before, token in pairwise(found):
        if token.token_type == TokenType.COMMA and before.token_type in _BEFORE_A_VALUE:
            raise query.error(
                token.start,
                "the query is not SQL: something is missing before this comma",
                found=query.text[before.start : token.end + 1],
            )


def check_order(query: QueryText, found: Sequence[Token]) -> None:
    """Raise for a clause after one that comes later in SQL, or for GROUP BY without a column.

    Raises
    ------
    QueryError
        There is one.
    """
    clauses: list[Token | None] = [None]
    for number, token in enumerate(found):
        kind = token.token_type
        if kind in _OPEN:
            clauses.append(None)
        elif kind in _CLOSE:
            clauses.pop()
        elif kind in _BEGIN:
            clauses[-1] = None
        elif kind in _ORDER and (kind not in _MAY_BE_NAMES or _is_number(found, number + 1)):
            before = clauses[-1]
            if before is not None and _ORDER[kind] < _ORDER[before.token_type]:
                raise query.error(
                    token.start,
                    f"the query is not SQL: {_word(token)} stands after {_word(before)}",
                    expected="SELECT, FROM, JOIN, WHERE, GROUP BY, HAVING, QUALIFY, ORDER BY, LIMIT in this order",
                    hint="a query in brackets, in the FROM of another one, may come first: FROM (SELECT ...) AS t",
                )
            if kind == TokenType.GROUP_BY and _ends(found, number + 1):
                raise query.error(
                    token.start, "the query is not SQL: something is missing here", found=_word(token)
                )
            clauses[-1] = token


def check_comparisons(query: QueryText, node: exp.Expr) -> None:
    """Raise if a node compares the result of a comparison that has no brackets.

    Raises
    ------
    QueryError
        It does.
    """
    if isinstance(node, _COMPARISONS) and any(
        isinstance(side, _COMPARISONS) for side in (node.left, node.right)
    ):
        raise query.error(
            node,
            "a comparison of a comparison needs brackets",
            found=query.source(node),
            hint="write a = b AND b = c, or (a = b) = c",
        )


def _ends(found: Sequence[Token], at: int) -> bool:
    """Return whether no value stands at a place, but the end or another clause."""
    return at == len(found) or found[at].token_type in (*_ORDER, *_CLOSE, *_BEGIN, TokenType.SEMICOLON)


def _is_number(found: Sequence[Token], at: int) -> bool:
    return at < len(found) and found[at].token_type == TokenType.NUMBER


def _word(token: Token) -> str:
    return " ".join(token.text.upper().split())
