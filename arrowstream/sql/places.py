"""Where in the text of a query a clause stands, and errors that say so."""

from __future__ import annotations

from collections.abc import Sequence

from sqlglot import exp
from sqlglot.tokenizer_core import Token

from arrowstream.errors import QueryError


class QueryText:
    """The text of a query.

    Parameters
    ----------
    text
        The text.
    found
        Its tokens, in order.
    """

    def __init__(self, text: str, found: Sequence[Token]) -> None:
        self.text = text
        self._tokens = found

    def error(
        self,
        node: exp.Expr | int,
        what: str,
        *,
        expected: str | None = None,
        found: str | None = None,
        hint: str | None = None,
    ) -> QueryError:
        """Return the error about a part of the query.

        Parameters
        ----------
        node
            The part, or the number of its first character.
        what, expected, found, hint
            As for every error.
        """
        start = node if isinstance(node, int) else self._start(node)
        line = self.text.count("\n", 0, start) + 1
        column = start - self.text.rfind("\n", 0, start)
        return QueryError(what, line=line, column=column, expected=expected, found=found, hint=hint)

    def clause(self, node: exp.Expr, *words: str) -> int:
        """Return where the last of these words before a part stands, such as ``ORDER`` of an ORDER BY."""
        start = self._start(node)
        return max(
            (each.start for each in self._tokens if each.start <= start and each.text.upper() in words),
            default=start,
        )

    def source(self, node: exp.Expr) -> str:
        """Return a part of the query as SQL, without the names that were put in place of the user's."""
        written: str = node.sql(dialect="duckdb")
        return written

    def _start(self, node: exp.Expr) -> int:
        """Return the first character of a part; of the smallest part around it that has a known place, if need be."""
        if "start" in node.meta:
            return int(node.meta["start"])
        around: exp.Expr | None = node
        while around is not None:
            first = min(
                (found.meta["start"] for found in around.walk() if "start" in found.meta), default=None
            )
            if first is not None:
                return self._call(node, first)
            around = around.parent
        return 0

    def _call(self, node: exp.Expr, first: int) -> int:
        """Return where a call begins whose first argument stands at `first`."""
        names = {node.sql_name()} if isinstance(node, exp.Func) else set()
        begins = (each.start for each in self._tokens if each.start < first and each.text.upper() in names)
        return max(begins, default=first)
