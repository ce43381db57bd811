"""The contract of a kernel: it checks one call of a Polars function, and turns it into a function of arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from arrowstream.expressions.program import Call

Values = Any
"""An argument or a result while a program runs: a `pa.Array`, or a `pa.Scalar` if it is constant."""

Evaluate = Callable[..., Values]
"""Computes one call from its arguments' values, in order. Pure and thread-safe; it raises if Polars would."""

Kernel = Callable[[Call], "Evaluate | str"]
"""Makes the function that computes a call, or gives the reason to refuse it.

It runs once for each call, when a program is compiled, and looks at argument types, literals and options.
"""
