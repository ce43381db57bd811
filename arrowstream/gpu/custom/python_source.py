"""Kernels in Python, compiled by numba-cuda: for that, no GPU and no driver is needed.

The arrays of inputs are read-only, so that a kernel that writes one does not compile: columns share their memory.
"""

from __future__ import annotations

import inspect
import linecache
import re
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from arrowstream.errors import PlanError
from arrowstream.gpu.custom.compiled import CompiledKernel, CompileTarget, missing_compiler
from arrowstream.gpu.custom.cuda_source import entries_of
from arrowstream.gpu.custom.parameters import Parameter, bind

_STYLE = re.compile(r"\x1b\[\d*m")
_PLACE = re.compile(r'File "([^"]+)", line (\d+)')


def compile_python(
    fn: Callable[..., Any],
    name: str,
    inputs: dict[str, Any],
    outputs: dict[str, Any],
    target: CompileTarget,
) -> CompiledKernel:
    """Return a kernel in Python, compiled and checked.

    Parameters
    ----------
    fn, name
        The function, and its name for errors.
    inputs, outputs
        The types of the columns that it reads and writes.
    target
        What to compile for.

    Raises
    ------
    PlanError
        The function does not compile, or has other parameters than its columns need.
    MissingExtra
        numba-cuda is not installed.
    """
    bound = bind(name, list(inspect.signature(fn).parameters), inputs, outputs, counted=False)
    cuda, types = _numba()
    arrays = (types.Array(_type(types, one), 1, "C", readonly=not one.written) for one in bound)
    try:
        ptx, _ = cuda.compile_ptx(fn, types.void(*arrays), cc=target.capability)
        code = _linked(ptx, target)
    except Exception as error:  # also what numba itself trips over
        raise _failure(fn, name, error) from error
    (entry,) = entries_of(ptx)
    return CompiledKernel(name, entry, code, bound, "arrays")


def _type(types: Any, parameter: Parameter) -> Any:
    in_numpy = parameter.element.in_numpy
    return types.boolean if in_numpy == "bool" else getattr(types, in_numpy)


def _numba() -> tuple[Any, Any]:
    try:
        if find_spec("numba_cuda") is None:
            raise ImportError("No module named 'numba_cuda'")
        from numba import cuda, types
    except (ImportError, RuntimeError, OSError) as error:  # numba, or the libraries of CUDA that it loads
        raise missing_compiler("numba-cuda", error) from error
    return cuda, types


def _linked(ptx: str, target: CompileTarget) -> bytes:
    """Return the machine code of PTX: a driver may be older than the compiler, and refuse its PTX."""
    from cuda.bindings import nvjitlink

    options = [f"-arch={target.architecture}", f"-maxrregcount={target.registers}"]
    linker = nvjitlink.create(len(options), options)
    try:
        data = ptx.encode()
        nvjitlink.add_data(linker, nvjitlink.InputType.PTX, data, len(data), "kernel")
        nvjitlink.complete(linker)
        code = bytearray(nvjitlink.get_linked_cubin_size(linker))
        nvjitlink.get_linked_cubin(linker, code)
    finally:
        nvjitlink.destroy(linker)
    return bytes(code)


def _failure(fn: Callable[..., Any], name: str, error: Exception) -> PlanError:
    text = _STYLE.sub("", str(error))
    said = [line.strip() for line in text.splitlines() if line.strip()]
    what = next((line for line in said if not line.startswith("Failed in")), type(error).__name__)
    rejected = re.search(r"Cannot modify readonly array", text)
    if rejected:
        what = "it writes into an input, which other steps may read"
    code = fn.__code__
    own = Path(code.co_filename).name
    lines = [int(line) for file, line in _PLACE.findall(text) if Path(file).name == own]
    line = lines[-1] if lines else code.co_firstlineno
    found = linecache.getline(code.co_filename, line).strip()
    return PlanError(
        f"the kernel {name!r} does not compile: {what}",
        found=f"{code.co_filename}:{line}{f': {found}' if found else ''}",
        hint="write the values of an output, a column of its own" if rejected else None,
    )
