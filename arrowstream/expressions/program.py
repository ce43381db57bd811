"""The small language every backend but Polars reads: a segment, lowered.

A `Program` is a list of steps over named Arrow columns. It is made from Polars' optimised, typed
plan (`arrowstream.plan.lowering.lower`), so every node carries the exact Arrow type its value must have,
and all casts Polars would insert are already there. A function name is Polars' own, in snake case
with its namespace (``"add"``, ``"is_in"``, ``"str.to_uppercase"``, ``"dt.year"``); a backend that
does not know one, or cannot give Polars' exact result for these types, must refuse the program.
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
    """A constant: a Python value (None for null) of an Arrow type; a tuple where `dtype` is a list type."""

    value: Any
    dtype: pa.DataType


@dataclass(frozen=True, slots=True)
class Cast:
    """`input` as `dtype`; strict: a value that does not fit is an error, else it becomes null."""

    input: Expression
    dtype: pa.DataType
    strict: bool


@dataclass(frozen=True, slots=True)
class Call:
    """`function` of `arguments`, with its constant options in the order Polars gives them."""

    function: str
    arguments: tuple[Expression, ...]
    dtype: pa.DataType
    options: tuple[Any, ...] = ()


Expression = Column | Literal | Cast | Call


def is_constant(expression: Expression) -> bool:
    """Whether no column is in it, so that it has one value for all rows and none for its own length."""
    if isinstance(expression, Cast):
        return is_constant(expression.input)
    if isinstance(expression, Call):
        return all(map(is_constant, expression.arguments))
    return isinstance(expression, Literal)


@dataclass(frozen=True, slots=True)
class ProgramStep:
    """One step of a program: a function from one batch of rows to one.

    Lowering makes `Project` and `Filter`. A backend refuses a program with a step that it does not know, and names
    the step by its class; so another kind of step, such as an aggregation, needs no change of the backends.
    """


@dataclass(frozen=True, slots=True)
class Project(ProgramStep):
    """Exactly these columns come out, in this order."""

    columns: tuple[tuple[str, Expression], ...]


@dataclass(frozen=True, slots=True)
class Filter(ProgramStep):
    """Only rows where `predicate` is true stay (null counts as false)."""

    predicate: Expression


@dataclass(frozen=True, slots=True)
class Program:
    """Steps from `input` to `output`; the result must have the schema `output`, metadata included."""

    input: pa.Schema
    steps: tuple[ProgramStep, ...]
    output: pa.Schema


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a segment, or a program, stays with Polars: every reason found."""

    reasons: tuple[str, ...]

    def __str__(self) -> str:
        return "; ".join(self.reasons)
