"""Functions over arrays that numba compiles at their first call; the machine code is kept for other processes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache, cached_property
from pathlib import Path
from types import CodeType
from typing import Any, Final

from arrowstream.errors import MissingExtra

Function = Callable[..., Any]

_BUILDERS: Final[dict[Function, Function]] = {}
"""Functions that make the machine code of plain functions, which have instructions of their own."""

_INLINED: Final[set[Function]] = set()
"""Helpers that are not called: their instructions are where the call would be."""

_UNCOUNTED: Final = {"_nrt": False}
"""An option of numba: references to arrays are not counted, which their callers hold. Counting takes two atomic
instructions for each call of a helper: reading a record 25 ns more, writing one 120 ns more."""


class Compiled:
    """A plain function whose calls run machine code, without Python's global lock.

    Parameters
    ----------
    function
        A function of arrays and integers, in the part of Python that numba compiles.
    signature
        Its types, as numba writes them: it is compiled for no others.
    helpers
        Plain functions that it calls.

    Attributes
    ----------
    py_func
        The plain function.

    Notes
    -----
    numba keeps machine code in a file next to the function's own, or in the user's cache if that folder cannot be
    written to. The code of the helpers and the constants of other modules are part of the file's name, so a change to
    one of them is a new file.
    """

    def __init__(self, function: Function, signature: str, helpers: tuple[Function, ...]) -> None:
        self.py_func: Final = function
        self._signature = signature
        self._helpers = helpers

    def __call__(self, *arguments: Any) -> Any:
        return self.machine_code(*arguments)

    @property
    def is_ready(self) -> bool:
        """True once there is machine code: compiling takes seconds, and loading it for the first time half of one."""
        return "machine_code" in vars(self)

    def load(self) -> None:
        """Load or compile the machine code now, not at the first call."""
        _ = self.machine_code

    @property
    def is_kept(self) -> bool:
        """True if machine code lies in the folder of the function's file, so that it is not compiled again."""
        folder = Path(self.py_func.__code__.co_filename).parent / "__pycache__"
        return any(folder.glob(f"*{self._digest}*.nbi"))

    @property
    def _digest(self) -> str:
        parts = [_identity(_BUILDERS.get(used, used)) for used in (self.py_func, *self._helpers)]
        return hashlib.sha256("".join(parts).encode()).hexdigest()[:16]

    @cached_property
    def machine_code(self) -> Function:
        """The function that runs: what is kept of it, or compiled now and kept."""
        numba = numba_module()
        for helper in self._helpers:
            _register(helper)
        try:
            return self.compile(numba, cache=True, **_UNCOUNTED)
        except Exception:  # no folder can be written to, the disk is full, or what is kept is damaged
            return self.compile(numba)

    def compile(self, numba: Any, **options: bool) -> Function:
        """Return the machine code; the options are those of `numba.njit`."""
        function = self.py_func
        function.__qualname__ = f"{function.__name__}_{self._digest}"
        machine_code: Function = numba.njit(self._signature, nogil=True, **options)(function)
        return machine_code


def _identity(function: Function) -> str:
    """Return the instructions of a function with what they read: constants, and integers of its module."""
    integers = {
        name: value
        for name in function.__code__.co_names
        if isinstance(value := function.__globals__.get(name), int)
    }
    return f"{_instructions(function.__code__)} {integers}"


def _instructions(code: CodeType) -> str:
    constants = [_instructions(each) if isinstance(each, CodeType) else repr(each) for each in code.co_consts]
    return f"{code.co_code.hex()} {constants} {code.co_names} {code.co_varnames}"


def compiled(signature: str, *helpers: Function) -> Callable[[Function], Compiled]:
    """Return a decorator that makes a function a `Compiled` one."""
    return lambda function: Compiled(function, signature, helpers)


def built_by(build: Function) -> Callable[[Function], Function]:
    """Return a decorator for a helper that calls instructions which Python does not have, once it is compiled.

    Parameters
    ----------
    build
        Takes numba; returns a function to compile in place of the helper, with the same arguments.
    """

    def decorate(function: Function) -> Function:
        _BUILDERS[function] = build
        return function

    return decorate


def inlined(function: Function) -> Function:
    """Let the instructions of a helper be where its call would be: an array is 7 arguments of machine code."""
    _INLINED.add(function)
    return function


@cache
def _register(helper: Function) -> None:
    """Let compiled functions call a helper."""
    numba = numba_module()
    if (build := _BUILDERS.get(helper)) is None:
        numba.extending.register_jitable(forceinline=helper in _INLINED)(helper)
        return
    implementation = build(numba)
    numba.extending.overload(helper, strict=False)(lambda *arguments: implementation)


def numba_module(what: str = "reading and writing messages") -> Any:
    """Return numba; it is imported at the first call, as that takes half a second.

    Parameters
    ----------
    what
        What needs it, for the error.

    Raises
    ------
    MissingExtra
        It is not installed.
    """
    try:
        import numba
        import numba.extending
    except ImportError as error:
        raise MissingExtra(
            f"{what} needs numba, which is not installed",
            hint="it comes with the extra 'kafka': pip install 'arrowstream[kafka]'",
        ) from error
    return numba
