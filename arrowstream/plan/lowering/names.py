"""The names that programs give to the functions and operators of Polars' plan."""

from __future__ import annotations

from typing import Any

from arrowstream.expressions.names import OPERATORS, snake_case

_PREFIXES = {
    "BooleanFunction": "",
    "StringFunction": "str.",
    "TemporalFunction": "dt.",
    "StructFunction": "struct.",
}


def function_name(kind: Any) -> str:
    """Return a program's name for a function of Polars' plan.

    Parameters
    ----------
    kind
        A string, in snake case already, or a member of ``StringFunction`` or another family.

    Examples
    --------
    >>> from arrowstream.plan.lowering.names import function_name
    >>> function_name("fill_null")
    'fill_null'
    """
    if isinstance(kind, str):
        return kind
    family, _, member = repr(kind).rpartition(".")
    prefix = _PREFIXES.get(family, f"{snake_case(family.removesuffix('Function'))}.")
    return prefix + snake_case(member)


def operator_name(operator: Any) -> str:
    """Return a program's name for a binary operator such as ``Operator.Plus``."""
    member = repr(operator).rpartition(".")[2]
    known = OPERATORS.get(member)
    return known.function if known else snake_case(member)
