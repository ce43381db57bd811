"""A raised error in a notebook or in IPython: the message and the user's own frames, in place of 60 lines."""

from __future__ import annotations

import sys
import sysconfig
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from traceback import FrameSummary, extract_tb
from types import TracebackType
from typing import Any

from arrowstream.core.failures import causes
from arrowstream.display.escape import visible
from arrowstream.errors import ArrowstreamError

_RED, _GREEN, _FAINT, _PLAIN = "\x1b[1;31m", "\x1b[32m", "\x1b[2m", "\x1b[0m"
_PACKAGE = Path(__file__).parents[1]
_STANDARD = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib")})
_LIBRARIES = {"site-packages", "dist-packages"}
"""Folders of installed libraries, those of this environment and of others that it uses."""
_FRAMES = 8
"""Largest number of the user's frames that are shown of one error: the first and the last ones."""

WHOLE = "whole traceback: %xmode Verbose, then %tb"


def short_traceback(error: ArrowstreamError) -> list[str]:
    """Return lines for IPython: the user's frames, the message, and each cause with the user's frames in it.

    After ``%xmode Verbose``, the lines are those of IPython itself, with every frame.
    """
    formatter = _formatter()
    if formatter is not None and formatter.mode == "Verbose":
        whole: list[str] = formatter.structured_traceback(type(error), error, error.__traceback__)
        return whole
    found = list(_said(error))
    for cause in islice(causes(error), 1, None):
        found += [f"{_FAINT}caused by{_PLAIN}", *_said(cause)]
    return [*found, f"{_FAINT}{WHOLE}{_PLAIN}"]


def users_frames(traceback: TracebackType | None) -> list[FrameSummary]:
    """Return the frames of code that is neither of this package nor of a library."""
    return [frame for frame in extract_tb(traceback) if _is_users(frame.filename)]


def _said(error: BaseException) -> Iterator[str]:
    frames = users_frames(error.__traceback__)
    if len(frames) > _FRAMES:
        frames = [*frames[: _FRAMES // 2], *frames[-_FRAMES // 2 :]]
    yield from chain.from_iterable(map(_place, frames))
    first, *rest = str(error).splitlines() or [""]
    yield f"{_RED}{type(error).__name__}{_PLAIN}: {visible(first)}"
    yield from (visible(line) for line in rest)


def _place(frame: FrameSummary) -> Iterator[str]:
    where = "" if frame.name.startswith("<") else f", in {frame.name}"
    yield f"{_GREEN}{_cell(frame.filename)}, line {frame.lineno}{where}{_PLAIN}"
    if frame.line:
        yield f"    {visible(frame.line)}"


def _is_users(file: str) -> bool:
    """Return True for a cell, and for a file outside of this package and of libraries."""
    if file.startswith("<"):
        return file.startswith("<ipython-input")
    path = Path(file)
    inside = path.is_relative_to(_PACKAGE) or any(map(path.is_relative_to, _STANDARD))
    return not inside and _LIBRARIES.isdisjoint(path.parts)


def _cell(file: str) -> str:
    """Return the name of a cell as IPython writes it, ``Cell In[3]``; of a file, its path."""
    shell = _shell()
    if shell is not None:
        kind, name = shell.compile.format_code_name(file) or ("", "")
        if kind:
            return f"{kind} {name}"
    return visible(file)


def _shell() -> Any:
    """Return IPython's shell, if this is one; it is there when it asks for lines."""
    module = sys.modules.get("IPython")
    return None if module is None else module.get_ipython()


def _formatter() -> Any:
    shell = _shell()
    return None if shell is None else shell.InteractiveTB
