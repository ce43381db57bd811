"""The contract of a kernel: a Polars function, checked for one call and made into a plain function of arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from arrowstream.expressions.program import Call

Values = Any
"""An argument or a result while a program runs: a `pa.Array`, or a `pa.Scalar` where it is constant."""

Evaluate = Callable[..., Values]
"""Computes one call from its arguments' values, in order."""

Kernel = Callable[[Call], "Evaluate | str"]
"""Looks once at a call's argument types, literals and options: how to compute it, or why not."""
