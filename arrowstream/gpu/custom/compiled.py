"""A kernel that is compiled for one architecture, and the errors of compilers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from arrowstream.errors import MissingExtra
from arrowstream.gpu.custom.parameters import Parameter

HOPPER = (9, 0)
"""The compute capability that kernels are compiled for where no GPU says its own: that of H100 and H200."""


@dataclass(frozen=True, slots=True)
class Compiled:
    """A kernel as machine code.

    Parameters
    ----------
    name
        The name of the kernel, for messages.
    entry
        Its name in the code.
    code
        The code, a cubin.
    parameters
        Its parameters.
    arguments
        How arguments are passed: ``"pointers"``, or as numba's arrays.
    """

    name: str
    entry: str
    code: bytes
    parameters: tuple[Parameter, ...]
    arguments: Literal["pointers", "arrays"]


def architecture(capability: tuple[int, int]) -> str:
    """Return what compilers call a compute capability.

    Examples
    --------
    >>> architecture((9, 0))
    'sm_90'
    """
    return f"sm_{capability[0]}{capability[1]}"


def missing_compiler(what: str, error: Exception) -> MissingExtra:
    """Return the error for a compiler that is not installed, or not with all that it needs."""
    first = next(iter(str(error).splitlines()), type(error).__name__)
    return MissingExtra(
        f"{what} is not installed, which compiles kernels",
        found=first,
        hint="pip install 'arrowstream[gpu]', or 'arrowstream[gpu12]' for CUDA 12",
    )
