"""Checks of whole numbers, flags and paths that users give."""

from __future__ import annotations

import os
from numbers import Integral

from arrowstream.errors import PlanError

PathLike = str | os.PathLike[str]
"""Text, or anything with ``__fspath__``."""


def check_whole(what: str, value: object, least: int = 1) -> None:
    """Raise unless `value` is a whole number of at least `least`.

    Parameters
    ----------
    what
        The argument as the user wrote it, such as ``batch(rows=...)``.
    value
        The value to check.
    least
        The smallest value that is accepted.

    Raises
    ------
    PlanError
        `value` is not a whole number, or is less than `least`.

    Examples
    --------
    >>> check_whole("batch(rows=...)", 20)
    >>> check_whole("batch(rows=...)", "20")
    Traceback (most recent call last):
    arrowstream.errors.PlanError: batch(rows=...) takes a whole number
      expected: a whole number, at least 1
      found: the str '20'
      hint: write 20, without quotes
    """
    expected = f"a whole number, at least {least}"
    if isinstance(value, bool) or not isinstance(value, Integral):
        plain = value.strip() if isinstance(value, str) else ""
        raise PlanError(
            f"{what} takes a whole number",
            expected=expected,
            found=f"the {type(value).__name__} {value!r}",
            hint=f"write {plain}, without quotes" if plain.isdecimal() else None,
        )
    if int(value) < least:
        raise PlanError(f"{what} is too small", expected=expected, found=str(value))


def check_flag(what: str, value: object) -> None:
    """Raise unless `value` is True or False: any text counts as true, ``"no"`` as well.

    Raises
    ------
    PlanError
        `value` is not a bool.

    Examples
    --------
    >>> check_flag("has_header", True)
    >>> check_flag("has_header", "no")
    Traceback (most recent call last):
    arrowstream.errors.PlanError: has_header takes True or False
      expected: True or False
      found: the str 'no'
    """
    if not isinstance(value, bool):
        raise PlanError(
            f"{what} takes True or False",
            expected="True or False",
            found=f"the {type(value).__name__} {value!r}",
        )
