"""Paths as users give them: text, or anything with ``__fspath__``."""

from __future__ import annotations

import os
from typing import Any

from arrowstream.errors import PlanError

PathLike = str | os.PathLike[str]


def path_text(step: str, path: Any) -> str:
    """A path as text.

    Raises
    ------
    PlanError
        It is no path, or one of bytes.

    Examples
    --------
    >>> from pathlib import Path
    >>> path_text("to_file", Path("out") / "rows.csv")
    'out/rows.csv'
    """
    found = os.fspath(path) if isinstance(path, str | os.PathLike) else path
    if isinstance(found, str):
        return found
    raise PlanError(
        f"{step}() needs a path", expected="text or a pathlib.Path", found=f"{type(path).__name__} {path!r}"
    )
