"""Names of Polars' functions and operators: one spelling for programs, one for users."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BinaryOperator:
    """An operator between two expressions.

    Parameters
    ----------
    function
        Its name in a program, such as ``"add"``.
    symbol
        Its sign in Python; None if it is written as a method.
    binding
        The precedence of the sign in Python, higher for a tighter one; 0 without a sign.
    """

    function: str
    symbol: str | None = None
    binding: int = 0


COMPARISON = 1
"""The precedence of comparisons, which do not chain."""

OPERATORS = {
    "Eq": BinaryOperator("eq", "==", COMPARISON),
    "NotEq": BinaryOperator("ne", "!=", COMPARISON),
    "Lt": BinaryOperator("lt", "<", COMPARISON),
    "LtEq": BinaryOperator("le", "<=", COMPARISON),
    "Gt": BinaryOperator("gt", ">", COMPARISON),
    "GtEq": BinaryOperator("ge", ">=", COMPARISON),
    "EqValidity": BinaryOperator("eq_missing"),
    "NotEqValidity": BinaryOperator("ne_missing"),
    "Or": BinaryOperator("or", "|", 2),
    "Xor": BinaryOperator("xor", "^", 3),
    "And": BinaryOperator("and", "&", 4),
    "LogicalOr": BinaryOperator("or"),
    "LogicalAnd": BinaryOperator("and"),
    "Plus": BinaryOperator("add", "+", 5),
    "Minus": BinaryOperator("subtract", "-", 5),
    "Multiply": BinaryOperator("multiply", "*", 6),
    "TrueDivide": BinaryOperator("true_divide", "/", 6),
    "Divide": BinaryOperator("divide", "/", 6),
    "RustDivide": BinaryOperator("divide"),
    "FloorDivide": BinaryOperator("floor_divide", "//", 6),
    "Modulus": BinaryOperator("modulo", "%", 6),
}
"""The binary operators, by the names that Polars' trees and plans give them."""


def snake_case(name: str) -> str:
    """Return a name such as ``IsBetween`` as ``is_between``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
