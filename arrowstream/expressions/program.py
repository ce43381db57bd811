"""The program: a lowered segment, in the small language that every backend but Polars reads.

A `Program` is a list of steps over named Arrow columns. It is made from Polars' optimised, typed
plan (`arrowstream.plan.lowering.lower`), so every node carries the exact Arrow type of its value,
and all casts that Polars inserts are in it. A function has Polars' name, in snake case with its namespace
(``"add"``, ``"is_in"``, ``"str.to_uppercase"``, ``"dt.year"``). A backend that does not know a function, or cannot
give Polars' exact result for its types, must refuse the program.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the step's input."""

    name: str
    dtype: pa.DataType


@dataclass(frozen=True, slots=True)
class Literal:
    """A constant of an Arrow type.

    Parameters
    ----------
    value
        A Python value, None for null, or a tuple if `dtype` is a list type. Dates, times and durations are the
        integers that Arrow stores.
    dtype
        The Arrow type.
    """

    value: Any
    dtype: pa.DataType


@dataclass(frozen=True, slots=True)
class Cast:
    """`input` cast to `dtype`; a value that does not fit is an error if `strict`, otherwise it becomes null."""

    input: Expression
    dtype: pa.DataType
    strict: bool


@dataclass(frozen=True, slots=True)
class Call:
    """The call of a function.

    Parameters
    ----------
    function
        Polars' name of the function, in snake case with its namespace.
    arguments
        The expressions it is called with.
    dtype
        The Arrow type of the result.
    options
        The function's constant options, in Polars' order.
    """

    function: str
    arguments: tuple[Expression, ...]
    dtype: pa.DataType
    options: tuple[Any, ...] = ()


Expression = Column | Literal | Cast | Call


def is_constant(expression: Expression) -> bool:
    """Return whether an expression reads no column, so that it has one value whatever the number of rows."""
    if isinstance(expression, Cast):
        return is_constant(expression.input)
    if isinstance(expression, Call):
        return all(map(is_constant, expression.arguments))
    return isinstance(expression, Literal)


def columns_of(expression: Expression) -> frozenset[str]:
    """Return the names of the columns that an expression reads."""
    match expression:
        case Column(name):
            return frozenset((name,))
        case Cast(input):
            return columns_of(input)
        case Call(_, arguments):
            return frozenset().union(*map(columns_of, arguments))
    return frozenset()


@dataclass(frozen=True, slots=True)
class ProgramStep:
    """One step of a program: a function from one batch of rows to another.

    Lowering makes `Project` and `Filter`. A backend refuses a program with a step that it does not know, and names
    the step by its class; so another kind of step, such as an aggregation, needs no change of the backends.
    """


@dataclass(frozen=True, slots=True)
class Project(ProgramStep):
    """A step that gives exactly these columns, each a name and an expression, in this order."""

    columns: tuple[tuple[str, Expression], ...]


@dataclass(frozen=True, slots=True)
class Filter(ProgramStep):
    """A step that keeps only the rows where `predicate` is true; null counts as false."""

    predicate: Expression


@dataclass(frozen=True, slots=True)
class Program:
    """Steps from `input` to `output`; the result must have the schema `output`, metadata included."""

    input: pa.Schema
    steps: tuple[ProgramStep, ...]
    output: pa.Schema


@dataclass(frozen=True, slots=True)
class Refusal:
    """Every reason why a segment or a program cannot run on a backend."""

    reasons: tuple[str, ...]

    def __str__(self) -> str:
        return "; ".join(self.reasons)
