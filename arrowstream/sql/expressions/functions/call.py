"""A call of a function: its arguments, and errors about them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import polars as pl
from sqlglot import exp

from arrowstream.errors import QueryError
from arrowstream.sql.expressions.functions.forms import FORMS
from arrowstream.sql.expressions.typed import Typed, name_of
from arrowstream.sql.places import QueryText


class ArgumentReader(Protocol):
    """What reads the arguments."""

    @property
    def query(self) -> QueryText:
        """The text, for errors."""

    def read(self, node: exp.Expr) -> Typed:
        """Return an expression of the query."""

    def unified(self, node: exp.Expr, found: list[Typed]) -> list[Typed]:
        """Return values in the type that holds all of them."""


@dataclass(frozen=True, slots=True)
class FunctionCall:
    """A call of a function.

    Parameters
    ----------
    reader
        Reads the arguments.
    node
        The call in the query.
    name
        The function's name in upper case.
    arguments
        The arguments.
    """

    reader: ArgumentReader
    node: exp.Expr
    name: str
    arguments: tuple[exp.Expr, ...]

    def takes(self, least: int, most: int | None = None) -> list[Typed]:
        """Return all arguments.

        Raises
        ------
        QueryError
            There are fewer or more.
        """
        most = least if most is None else most
        count = len(self.arguments)
        if not least <= count <= most:
            expected = f"{least}" if least == most else f"{least} to {most}"
            form, _ = FORMS.get(self.name, (None, None))
            raise self.error(
                f"{self.name} takes other arguments",
                expected=f"{expected} arguments",
                found=str(count),
                hint=f"such as {form}" if form else None,
            )
        return [self.reader.read(each) for each in self.arguments]

    def text(self, value: Typed) -> pl.Expr:
        """Return an argument that is text."""
        if not value.is_text and not value.is_null:
            raise self.error(f"{self.name} is for text", expected="VARCHAR", found=name_of(value.dtype))
        return value.expr.cast(pl.String)

    def number(self, value: Typed) -> Typed:
        """Return an argument that is a number."""
        if value.is_null:
            return value.cast(pl.Float64())
        if not value.is_number:
            raise self.error(
                f"{self.name} is for numbers", expected="BIGINT or DOUBLE", found=name_of(value.dtype)
            )
        return value

    def whole(self, value: Typed) -> Typed:
        """Return an argument that is a whole number."""
        if not value.is_integer and not value.is_null:
            raise self.error(
                f"{self.name} takes a whole number", expected="BIGINT", found=name_of(value.dtype)
            )
        return value.cast(pl.Int64())

    def time(self, value: Typed) -> Typed:
        """Return an argument that is a time."""
        if not value.is_time:
            raise self.error(
                f"{self.name} is for times", expected="TIMESTAMP or DATE", found=name_of(value.dtype)
            )
        return value

    def written(self, value: Typed, kind: type[str] | type[int], example: str) -> str | int:
        """Return the value of an argument that must stand in the query.

        Raises
        ------
        QueryError
            It is an expression, or of another kind.
        """
        if not value.constant or not isinstance(value.value, kind) or isinstance(value.value, bool):
            raise self.error(f"an argument of {self.name} stands in the query", expected=f"such as {example}")
        return value.value

    def error(
        self, what: str, *, expected: str | None = None, found: str | None = None, hint: str | None = None
    ) -> QueryError:
        """Return the error about this call."""
        query = self.reader.query
        return query.error(
            self.node, what, expected=expected, found=found or query.source(self.node), hint=hint
        )


Function = Callable[[FunctionCall], Typed]
"""What gives the expression of a call."""


def text(expr: pl.Expr) -> Typed:
    """Return a text."""
    return Typed(expr, pl.String())


def whole(expr: pl.Expr) -> Typed:
    """Return a whole number, as BIGINT."""
    return Typed(expr.cast(pl.Int64), pl.Int64())


def number(expr: pl.Expr) -> Typed:
    """Return a DOUBLE."""
    return Typed(expr, pl.Float64())


def truth(expr: pl.Expr) -> Typed:
    """Return a condition."""
    return Typed(expr, pl.Boolean())
