"""TOML files whose values know their line.

The methods of `Value` report a mistake in one line that a person, an editor and a log can use::

    flights.toml: no such file
    flights.toml:3: not TOML: Expected '=' after a key in a key/value pair
    flights.toml:7: unknown key 'fitler' in [[steps]] (did you mean 'filter'?)
    flights.toml:5: missing key 'path' in [source]
    flights.toml:9: 'rows' in [[steps]] batch: expected an integer of at least 1, found the string '10'
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from arrowstream.config.masking import hidden
from arrowstream.config.toml_lines import At, positions
from arrowstream.core.checks import PathLike
from arrowstream.core.hints import size_hint
from arrowstream.core.mistakes.explain import nearest_name, nearest_value
from arrowstream.errors import JobError

T = TypeVar("T")

_WHERE = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")


class JobFile:
    """A parsed TOML file, with the line of each value.

    Parameters
    ----------
    path
        The file as the user named it; every message begins with it.
    text
        The text of the file.

    Attributes
    ----------
    folder
        The folder at which relative paths in the file start.
    given
        Text of each value that comes from outside of the file as text: it is read as a string or as a number, as the
        key needs it.
    origins
        The origin of values from outside of the file, which messages name in place of file and line.
    secrets
        Texts that no message may show.

    Raises
    ------
    JobError
        The text is not TOML.
    """

    def __init__(self, path: str, text: str) -> None:
        self.path = path
        self.folder = Path(path).parent
        self.given: dict[At, str] = {}
        self.origins: dict[At, str] = {}
        self.secrets: set[str] = set()
        text = text.replace("\r\n", "\n")
        try:
            data = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            where = _WHERE.search(str(error))
            line = where.group(1) if where is not None else None
            reason = _WHERE.sub("", str(error))
            raise JobError(f"{path}:{line or text.rstrip().count(chr(10)) + 1}: not TOML: {reason}") from None
        self._lines = positions(text)
        self.root = Value(self, (), data)

    @classmethod
    def read(cls, path: PathLike) -> JobFile:
        """Read the file at `path`.

        Raises
        ------
        JobError
            The file does not exist, cannot be read, or is not TOML.
        """
        path = Path(path)
        try:
            text = path.read_bytes().decode("utf-8-sig")
        except FileNotFoundError:
            raise JobError(f"{path}: no such file") from None
        except UnicodeDecodeError as error:
            line = error.object[: error.start].count(b"\n") + 1
            raise JobError(f"{path}:{line}: not TOML: the text is not UTF-8") from None
        except OSError as error:
            raise JobError(f"{path}: {error.strerror}") from None
        return cls(str(path), text)

    def line(self, at: At) -> int:
        """Return the line of a place, or of the nearest table around it; line 1 for the whole file."""
        while at and at not in self._lines:
            at = at[:-1]
        return self._lines.get(at, 1)

    def origin(self, at: At) -> str | None:
        """Return the origin of a value from outside of the file, or of one around it; None for all others."""
        outside = (self.origins[at[:end]] for end in range(len(at), 0, -1) if at[:end] in self.origins)
        return next(outside, None)

    def error(self, at: At, what: str) -> JobError:
        """Return an error about a place, on one line and without secrets."""
        place = self.origin(at) or f"{self.path}:{self.line(at)}"
        return JobError(f"{place}: {' '.join(hidden(what, self.secrets).split())}")


@dataclass(frozen=True, slots=True)
class Value:
    """A value of a TOML file, with its place.

    Parameters
    ----------
    file
        The file.
    at
        Keys and indexes that lead to the value.
    found
        The value as `tomllib` parsed it.
    """

    file: JobFile
    at: At
    found: Any

    @property
    def place(self) -> str:
        """The place of the value as text for a message, such as ``'rows' in [[steps]] batch``."""
        *around, last = self.at
        if isinstance(last, int):
            return f"item {last + 1} of {Value(self.file, tuple(around), None).place}"
        return f"{last!r} in {_section(tuple(around))}" if around else f"[{last}]"

    @property
    def line(self) -> int:
        """The line on which the value begins, counted from 1."""
        return self.file.line(self.at)

    def error(self, what: str) -> JobError:
        """Return an error about this value, on one line."""
        return self.file.error(self.at, f"{self.place}: {what}")

    def text(self) -> str:
        """Return a string, or raise."""
        given = self.file.given.get(self.at)
        if given is not None and not isinstance(self.found, str | list | dict):
            return given
        return self._of(str, "a string")

    def scalar(self) -> Any:
        """Return the value; a string from outside of the file is read as TOML."""
        given = self.file.given.get(self.at)
        return self.found if given is None or not isinstance(self.found, str) else parsed(given)

    def flag(self) -> bool:
        """Return a boolean, or raise."""
        found = self.scalar()
        if not isinstance(found, bool):
            raise self._unfit("true or false")
        return found

    def count(self, least: int = 1) -> int:
        """Return an integer of at least `least`, or raise."""
        found = self.scalar()
        if not isinstance(found, int) or isinstance(found, bool) or found < least:
            hint = size_hint(found) if isinstance(found, str) else None
            raise self._unfit(f"an integer of at least {least}", hint)
        return found

    def number(self) -> float:
        """Return an integer or a float, or raise."""
        found = self.scalar()
        if not isinstance(found, int | float) or isinstance(found, bool):
            raise self._unfit("a number")
        return found

    def one_of(self, names: Iterable[str]) -> str:
        """Return a string that is one of `names`, or raise."""
        known, text = tuple(names), self.text()
        if text not in known:
            hint = nearest_value(text, known) or _one_of(known)
            raise self.error(f"unknown name {text!r} ({hint})")
        return text

    def items(self) -> list[Value]:
        """Return the elements of an array; any other value counts as an array of one element."""
        if not isinstance(self.found, list):
            return [self]
        return [Value(self.file, (*self.at, index), item) for index, item in enumerate(self.found)]

    def texts(self) -> list[str]:
        """Return the strings of an array, or of a single string, or raise."""
        return [item.text() for item in self.items()]

    def table(self) -> dict[str, Value]:
        """Return the values of a table by key, or raise."""
        table = self._of(dict, "a table")
        return {key: Value(self.file, (*self.at, key), value) for key, value in table.items()}

    def check_keys(self, known: Collection[str], required: Collection[str] = ()) -> None:
        """Raise unless this is a table with only `known` keys and all `required` ones."""
        for key, value in self.table().items():
            if key not in known:
                raise self.file.error(
                    value.at, f"unknown key {key!r} in {_section(self.at)} ({nearest(key, known)})"
                )
        for key in required:
            self.need(key)

    def need(self, key: str) -> Value:
        """Return the value of a key, or raise if the table lacks it."""
        table = self.table()
        if key not in table:
            raise self.file.error(self.at, f"missing key {key!r} in {_section(self.at)}")
        return table[key]

    def maybe(self, key: str, read: Callable[[Value], T]) -> T | None:
        """Return the value of a key, read by `read`, or None if the table lacks it."""
        table = self.table()
        return read(table[key]) if key in table else None

    def _of(self, kind: type[T], name: str) -> T:
        if not isinstance(self.found, kind):
            raise self._unfit(name)
        return self.found

    def _unfit(self, expected: str, hint: str | None = None) -> JobError:
        advice = "" if hint is None else f" ({hint})"
        return self.error(f"expected {expected}, found {_describe(self.found)}{advice}")


def parsed(text: str) -> Any:
    """Return a value that is written as TOML; any other text is a string.

    Examples
    --------
    >>> parsed("[1, 2]"), parsed("true"), parsed("a > 1")
    ([1, 2], True, 'a > 1')
    """
    try:
        found = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    return found["value"] if len(found) == 1 else text


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a hint with the known name nearest to a mistyped one, or with all known names.

    Examples
    --------
    >>> nearest("fitler", ["filter", "select"]), nearest("x", ["filter", "select"])
    ("did you mean 'filter'?", "one of 'filter', 'select'")
    """
    names = list(known)
    return nearest_name(name, names) or nearest_value(name, names) or _one_of(names)


def _one_of(names: Iterable[str]) -> str:
    return "one of " + ", ".join(map(repr, names))


def _section(at: At) -> str:
    """Return a table's name for a message: ``[source]``, ``[[source.steps]]``, ``[[steps]] batch``."""
    if not at:
        return "the job"
    # The header of the array of tables around the value: its first one, or that of the steps of a source.
    ends = [
        end for end in range(1, len(at)) if isinstance(at[end], int) and (end == 1 or at[end - 1] == "steps")
    ]
    if not ends:
        return f"[{'.'.join(str(key) for key in at)}]"
    header = ".".join(key for key in at[: ends[-1]] if isinstance(key, str))
    return " ".join([f"[[{header}]]", *(str(key) for key in at[ends[-1] + 1 :])])


def _describe(found: object) -> str:
    match found:
        case bool():  # before int, its base class
            return f"the boolean {str(found).lower()}"
        case str():
            return f"the string {found!r}"
        case int():
            return f"the integer {found}"
        case float():
            return f"the float {found}"
        case list():
            return "an array"
        case dict():
            return "a table"
        case _:
            return "a date or time"
