"""Names: from what Polars' plan calls a function or an operator to what a program calls it."""

from __future__ import annotations

import re
from typing import Any

_OPERATORS = {
    "Plus": "add",
    "Minus": "subtract",
    "Multiply": "multiply",
    "Divide": "divide",
    "RustDivide": "divide",
    "TrueDivide": "true_divide",
    "FloorDivide": "floor_divide",
    "Modulus": "modulo",
    "Eq": "eq",
    "NotEq": "ne",
    "Lt": "lt",
    "LtEq": "le",
    "Gt": "gt",
    "GtEq": "ge",
    "EqValidity": "eq_missing",
    "NotEqValidity": "ne_missing",
    "And": "and",
    "LogicalAnd": "and",
    "Or": "or",
    "LogicalOr": "or",
    "Xor": "xor",
}
_PREFIXES = {
    "BooleanFunction": "",
    "StringFunction": "str.",
    "TemporalFunction": "dt.",
    "StructFunction": "struct.",
}


def function_name(kind: Any) -> str:
    """Of a function: a string in snake case already, or a member of ``StringFunction`` or its like.

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
    """Of a binary operator such as ``Operator.Plus``."""
    member = repr(operator).rpartition(".")[2]
    return _OPERATORS.get(member, snake_case(member))


def snake_case(name: str) -> str:
    """``ToUppercase`` as ``to_uppercase``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
