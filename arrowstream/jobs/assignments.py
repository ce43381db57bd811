"""Values that replace or complete those of a job file: ``--set sink.path=out.csv``."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from arrowstream.config.toml_file import Value, parsed
from arrowstream.config.toml_lines import At
from arrowstream.errors import JobError


@dataclass(frozen=True, slots=True)
class Assignment:
    """A value for a key of a job.

    Parameters
    ----------
    key
        Dotted key, as in TOML, with numbers for elements of arrays: ``steps.0.filter``.
    value
        The value.
    origin
        The assignment as messages name it.
    text
        The value as text, if it was given as one.
    """

    key: str
    value: Any
    origin: str
    text: str | None = None

    @classmethod
    def written(cls, text: str) -> Assignment:
        """Read ``key=value`` of a command line, whose value is TOML, or else a string.

        Raises
        ------
        JobError
            The text has no equals sign.

        Examples
        --------
        >>> Assignment.written("steps.0.batch=2048").value, Assignment.written("steps.0.filter=a > 1").value
        (2048, 'a > 1')
        """
        key, equals, value = text.partition("=")
        if not equals:
            raise JobError(f"--set {text}: expected key=value, such as sink.path=out.csv")
        return cls(key.strip(), parsed(value), f"--set {key.strip()}", value)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> list[Assignment]:
        """Return the assignments of Python values by key."""
        return [
            cls(key, os.fspath(value) if isinstance(value, os.PathLike) else value, f"set[{key!r}]")
            for key, value in values.items()
        ]


def assign(root: Value, assignments: Iterable[Assignment]) -> None:
    """Put the values into the job, in order; tables that it lacks are added, and whole elements after the last one.

    Raises
    ------
    JobError
        A key is not written as in TOML, or leads to no element of an array, or into a string or number.
    """
    for one in assignments:
        *outer, last = _keys(one)
        around = root
        for key in outer:
            around = _inside(one, around, key)
        if isinstance(around.found, list) and last == str(len(around.found)):
            around.found.append(None)
        found = _checked(one, around, last)
        around.found[found] = one.value
        at = (*around.at, found)
        root.file.origins[at] = one.origin
        root.file.given.pop(at, None)
        if one.text is not None:
            root.file.given[at] = one.text


def _keys(one: Assignment) -> list[str]:
    try:
        found: Any = tomllib.loads(f"{one.key} = 0")
    except tomllib.TOMLDecodeError:
        found = {}
    keys = []
    while isinstance(found, dict) and len(found) == 1:
        ((key, found),) = found.items()
        keys.append(key)
    if found != 0:
        raise JobError(f"{one.origin}: expected a key of the job, such as sink.path or steps.0.filter")
    return keys


def _inside(one: Assignment, around: Value, key: str) -> Value:
    """Return the value of a key; an empty table, or an array of steps, if `around` is a table that lacks it."""
    checked = _checked(one, around, key)
    at: At = (*around.at, checked)
    if isinstance(around.found, dict) and checked not in around.found:
        around.found[checked] = [] if key == "steps" else {}
        around.file.origins[at] = one.origin
    return Value(around.file, at, around.found[checked])


def _checked(one: Assignment, around: Value, key: str) -> str | int:
    """Return the key as `around` needs it: a name, or an index of an array."""
    if isinstance(around.found, dict):
        return key
    if not isinstance(around.found, list):
        raise JobError(f"{one.origin}: {around.place} is not a table, so it has no key {key!r}")
    size = len(around.found)
    if not key.isdecimal() or int(key) >= size:
        known = f"one of {', '.join(map(str, range(size)))}" if size else "it is empty"
        raise JobError(
            f"{one.origin}: {around.place} is an array, which has no element {key!r} ({known}); a whole one may be "
            f"added as {size}"
        )
    return int(key)
