"""A kernel that is compiled, what it is compiled for, and the error of a compiler that is missing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from arrowstream.errors import MissingExtra
from arrowstream.gpu.custom.parameters import Parameter

HOPPER = (9, 0)
"""The compute capability that kernels are compiled for where no GPU says its own: that of H100 and H200."""

_REGISTERS = 65_536
"""Registers of a block, on all GPUs that the libraries of CUDA 12 and 13 are for."""

_MOST_REGISTERS = 255
"""Registers of a thread."""


@dataclass(frozen=True, slots=True)
class CompileTarget:
    """What a kernel is compiled for.

    Parameters
    ----------
    capability
        The compute capability of the GPU.
    threads
        Threads in a block.
    """

    capability: tuple[int, int]
    threads: int

    @property
    def architecture(self) -> str:
        """What compilers call the compute capability.

        Examples
        --------
        >>> CompileTarget((9, 0), 256).architecture
        'sm_90'
        """
        return f"sm_{self.capability[0]}{self.capability[1]}"

    @property
    def registers(self) -> int:
        """Registers that a thread may use: with more, a GPU would not have enough for a block, and refuse it.

        Examples
        --------
        >>> CompileTarget((9, 0), 256).registers, CompileTarget((9, 0), 1024).registers
        (255, 64)
        """
        return min(_REGISTERS // self.threads, _MOST_REGISTERS)


@dataclass(frozen=True, slots=True)
class CompiledKernel:
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


def missing_compiler(what: str, error: Exception) -> MissingExtra:
    """Return the error for a compiler that is not installed, or not with all that it needs."""
    first = next(iter(str(error).splitlines()), type(error).__name__)
    return MissingExtra(
        f"{what} is not installed, which compiles kernels",
        found=first,
        hint="pip install 'arrowstream[gpu]', or 'arrowstream[gpu12]' for CUDA 12",
    )
