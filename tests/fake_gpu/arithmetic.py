"""Arithmetic as C++ and CUDA do it, by names of libcudf's operators.

Of cpp/src/binaryop/compiled/operation.cuh and cpp/include/cudf/detail/operators/*.cuh, which agree.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from pylibcudf.types import TypeId

from fake_gpu.types import NUMPY, promoted
from fake_gpu.values import Array

COMPARISONS: dict[str, Callable[[Array, Array], Array]] = {
    "EQUAL": np.equal,
    "NOT_EQUAL": np.not_equal,
    "LESS": np.less,
    "GREATER": np.greater,
    "LESS_EQUAL": np.less_equal,
    "GREATER_EQUAL": np.greater_equal,
}


def binary(name: str, left: Array, right: Array, common: TypeId) -> tuple[Array, TypeId]:
    """Compute an operation on two arrays of a type, and give the type of its values.

    What is smaller than int becomes int first, as in C++. Division of integers by zero, which C++ leaves open,
    gives all bits set, so that whoever relies on it is noticed.
    """
    with np.errstate(all="ignore"):
        if name in COMPARISONS:
            return COMPARISONS[name](left, right), TypeId.BOOL8
        if name in ("LOGICAL_AND", "LOGICAL_OR"):
            both = (left != 0, right != 0)
            return (both[0] & both[1] if name == "LOGICAL_AND" else both[0] | both[1]), TypeId.BOOL8
        if name in _DOUBLES:
            return _DOUBLES[name](left.astype("f8"), right.astype("f8")), TypeId.FLOAT64
        result = promoted(common)
        left, right = left.astype(NUMPY[result]), right.astype(NUMPY[result])
        if name in _ANY:
            return _ANY[name](left, right), result
        table = _FLOATS if left.dtype.kind == "f" else _INTEGERS
        if name not in table:
            raise NotImplementedError(f"the fake has no {name} of {common.name}")
        return table[name](left, right), result


def _true_division(left: Array, right: Array) -> Array:
    return left / right


def _cut_division(left: Array, right: Array) -> Array:
    """C's division: towards zero."""
    floor = _floor_division(left, right)
    inexact = (_remainder(left, right) != 0) & ((left < 0) != (right < 0)) & (right != 0)
    return floor + inexact.astype(floor.dtype)


def _floor_division(left: Array, right: Array) -> Array:
    return _where_zero(right, np.floor_divide(left, right))


def _remainder(left: Array, right: Array) -> Array:
    """C's remainder: of the sign of the dividend."""
    return _where_zero(right, np.fmod(left, right))


def _where_zero(divisor: Array, found: Array) -> Array:
    all_bits = np.iinfo(found.dtype).max if found.dtype.kind == "u" else -1
    return np.where(divisor == 0, found.dtype.type(all_bits), found)


def _python_remainder(left: Array, right: Array) -> Array:
    return _remainder(_remainder(left, right) + right, right)


def _positive_remainder(left: Array, right: Array) -> Array:
    remainder = _remainder(left, right)
    return np.where(remainder < 0, _remainder(remainder + right, right), remainder)


def _positive_float_remainder(left: Array, right: Array) -> Array:
    remainder = np.fmod(left, right)
    return np.where(remainder < 0, np.fmod(remainder + right, right), remainder)


_ANY: dict[str, Callable[[Array, Array], Array]] = {"ADD": np.add, "SUB": np.subtract, "MUL": np.multiply}

_DOUBLES: dict[str, Callable[[Array, Array], Array]] = {
    "TRUE_DIV": _true_division,
    "POW": np.power,
    "LOG_BASE": lambda x, y: np.log(x) / np.log(y),
    "ATAN2": np.arctan2,
}

_FLOATS: dict[str, Callable[[Array, Array], Array]] = {
    "DIV": _true_division,
    "FLOOR_DIV": lambda x, y: np.floor(x / y),
    "MOD": np.fmod,
    "PMOD": _positive_float_remainder,
    "PYMOD": lambda x, y: np.fmod(np.fmod(x, y) + y, y),
}

_INTEGERS: dict[str, Callable[[Array, Array], Array]] = {
    "DIV": _cut_division,
    "FLOOR_DIV": _floor_division,
    "MOD": _remainder,
    "PMOD": _positive_remainder,
    "PYMOD": _python_remainder,
    "BITWISE_AND": np.bitwise_and,
    "BITWISE_OR": np.bitwise_or,
    "BITWISE_XOR": np.bitwise_xor,
    "SHIFT_LEFT": np.left_shift,
    "SHIFT_RIGHT": np.right_shift,
}


def null_aware(
    name: str, left: Array, right: Array, left_valid: Array | None, right_valid: Array | None
) -> tuple[Array, Array | None] | None:
    """Compute the operations that look at nulls; None for the others.

    Returns
    -------
    tuple
        Values, and which are valid; of Kleene's logic for AND and OR.
    """
    if name not in ("NULL_EQUALS", "NULL_EQUAL", "NULL_NOT_EQUALS", "NULL_LOGICAL_AND", "NULL_LOGICAL_OR"):
        if name.startswith("NULL_"):
            raise NotImplementedError(f"the fake has no {name}")
        return None
    known_left: Any = True if left_valid is None else left_valid
    known_right: Any = True if right_valid is None else right_valid
    if "EQUAL" in name:
        same = np.where(known_left & known_right, left == right, np.logical_not(known_left | known_right))
        return (~same if name == "NULL_NOT_EQUALS" else same), None
    true_left, true_right = left != 0, right != 0
    if name == "NULL_LOGICAL_AND":
        decided = known_left & ~true_left | known_right & ~true_right
        return np.where(decided, False, True), decided | (known_left & known_right)
    decided = known_left & true_left | known_right & true_right
    return np.where(decided, True, False), decided | (known_left & known_right)


def unary(name: str, values: Array, source: TypeId) -> tuple[Array, TypeId]:
    """Compute an operation on an array, and give the type of its values."""
    with np.errstate(all="ignore"):
        if name == "NOT":
            return values == 0, TypeId.BOOL8
        if name == "IDENTITY":
            return values, source
        if name == "BIT_INVERT":
            result = promoted(source)
            return ~values.astype(NUMPY[result]), result
        if name in _KEEP:
            return (values if values.dtype.kind == "u" else _KEEP[name](values)), source
        if name in _FUNCTIONS and values.dtype.kind == "f":
            return _FUNCTIONS[name](values), source
    raise NotImplementedError(f"the fake has no {name} of {source.name}")


_KEEP: dict[str, Callable[[Array], Array]] = {"ABS": np.abs, "NEGATE": np.negative}

_FUNCTIONS: dict[str, Callable[[Array], Array]] = {
    "SIN": np.sin,
    "COS": np.cos,
    "TAN": np.tan,
    "ARCSIN": np.arcsin,
    "ARCCOS": np.arccos,
    "ARCTAN": np.arctan,
    "SINH": np.sinh,
    "COSH": np.cosh,
    "TANH": np.tanh,
    "ARCSINH": np.arcsinh,
    "ARCCOSH": np.arccosh,
    "ARCTANH": np.arctanh,
    "EXP": np.exp,
    "LOG": np.log,
    "SQRT": np.sqrt,
    "CBRT": np.cbrt,
    "CEIL": np.ceil,
    "FLOOR": np.floor,
    "RINT": np.rint,
}
