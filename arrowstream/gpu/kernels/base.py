"""The contract of a kernel: it turns one call of a Polars function into a tree of libcudf's operations."""

from __future__ import annotations

from collections.abc import Callable

from arrowstream.expressions.program import Call
from arrowstream.gpu.kernels.tree import Constant, Node

Kernel = Callable[..., Node | str]
"""Makes the tree of a call, from the call and the trees of its arguments, or gives the reason to refuse it.

It runs once for each call, when a program is compiled, and looks at types, constants and options. At least one of
the arguments reads a column.
"""


def value_of(node: Node) -> object:
    """Return the value of a constant; None if it is null, or no constant."""
    return node.value if isinstance(node, Constant) else None


def text_of(node: Node) -> str | None:
    """Return the text of a constant, or None if it is anything else."""
    value = value_of(node)
    return value if isinstance(value, str) else None


def int_of(node: Node) -> int | None:
    """Return a constant integer, or None if it is anything else."""
    value = value_of(node)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def types(call: Call) -> str:
    """Return the types of a call's arguments, in words."""
    return " and ".join(str(argument.dtype) for argument in call.arguments)
