"""Checks of whole numbers, flags, paths and names that users give."""

from __future__ import annotations

import os
from collections.abc import Sequence
from numbers import Integral

from arrowstream.core.hints import size_hint
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
            hint=f"write {plain}, without quotes" if plain.isdecimal() else size_hint(plain),
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


def column_names(what: str, value: object) -> tuple[str, ...]:
    """Return the names of columns in `value`, one name or several.

    Raises
    ------
    PlanError
        `value` is neither a name nor a list of names.

    Examples
    --------
    >>> column_names("sort_by", "day"), column_names("sort_by", ["day", "hour"])
    (('day',), ('day', 'hour'))
    >>> column_names("sort_by", 3)
    Traceback (most recent call last):
    arrowstream.errors.PlanError: sort_by takes names of columns
      expected: a name, or a list of names
      found: the int 3
    """
    names = (value,) if isinstance(value, str) else value
    if not isinstance(names, Sequence) or not all(isinstance(name, str) for name in names):
        raise PlanError(
            f"{what} takes names of columns",
            expected="a name, or a list of names",
            found=f"the {type(value).__name__} {value!r}",
        )
    return tuple(names)


def check_name(what: str, value: object) -> None:
    """Raise unless `value` is a text that can name a column.

    Raises
    ------
    PlanError
        `value` is not a text, or is empty.

    Examples
    --------
    >>> check_name("include_file_paths", "path")
    >>> check_name("include_file_paths", True)
    Traceback (most recent call last):
    arrowstream.errors.PlanError: include_file_paths takes the name of a column
      expected: a text that is not empty, such as 'path'
      found: the bool True
    """
    if not isinstance(value, str) or not value:
        raise PlanError(
            f"{what} takes the name of a column",
            expected="a text that is not empty, such as 'path'",
            found=f"the {type(value).__name__} {value!r}",
        )
