"""Line numbers of the keys of a TOML text, which `tomllib` does not keep.

`tomllib` has already accepted the text, so this scanner does not check it: it only
follows keys, strings, arrays and inline tables, and is much smaller than a parser.
"""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_left

At = tuple[str | int, ...]
"""A place in a TOML document: keys, and indexes of arrays, such as ``("steps", 0, "filter")``."""

_BLANK = re.compile(r"(?:[ \t\n]|#[^\n]*)*")
_KEY_BLANK = re.compile(r"[ \t]*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
# A multi-line string may end in one or two quotes before the closing three.
_STRING = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}' r"|'''.*?'{3,5}" r'|"(?:\\.|[^"\\])*"' r"|'[^']*'",
    re.DOTALL,
)
_SCALAR = re.compile(r"[^,\]}#\n]+")


def positions(text: str) -> dict[At, int]:
    r"""Return the line, counted from 1, of every key, table and array element of a valid TOML text.

    Parameters
    ----------
    text
        A text that ``tomllib.loads`` has accepted, with ``\n`` as line ends.

    Examples
    --------
    >>> positions('[source]\npath = ["a.csv",\n  "b.csv"]\n')
    {('source',): 1, ('source', 'path'): 2, ('source', 'path', 0): 2, ('source', 'path', 1): 3}
    """
    return _Scanner(text).scan()


class _Scanner:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._ends = [match.start() for match in re.finditer("\n", text)]
        self._lines: dict[At, int] = {}
        self._tables: dict[At, int] = {}  # number of [[...]] headers of each array of tables so far

    def scan(self) -> dict[At, int]:
        section: At = ()
        self._skip(_BLANK)
        while self._at < len(self._text):
            if self._text[self._at] == "[":
                section = self._header()
            else:
                self._pair(section)
            self._skip(_BLANK)
        return self._lines

    def _header(self) -> At:
        line = self._line()
        brackets = 2 if self._text.startswith("[[", self._at) else 1
        self._at += brackets
        *outer, last = self._keys()
        self._at += brackets
        path: At = ()
        for key in outer:
            path = (*path, key)
            self._lines.setdefault(path, line)
            if path in self._tables:
                path = (*path, self._tables[path] - 1)
        path = (*path, last)
        if brackets == 2:
            index = self._tables.get(path, 0)
            self._tables[path] = index + 1
            self._lines.setdefault(path, line)
            path = (*path, index)
        self._lines[path] = line
        return path

    def _pair(self, table: At) -> None:
        line = self._line()
        path = table
        for key in self._keys():
            path = (*path, key)
            self._lines.setdefault(path, line)
        self._at += 1  # the equals sign
        self._skip(_BLANK)
        self._value(path)

    def _keys(self) -> list[str]:
        keys = []
        while True:
            self._skip(_KEY_BLANK)
            if self._text[self._at] in "\"'":
                keys.append(tomllib.loads(f"key = {self._take(_STRING)}")["key"])
            else:
                keys.append(self._take(_BARE_KEY))
            self._skip(_KEY_BLANK)
            if self._text[self._at] != ".":
                return keys
            self._at += 1

    def _value(self, path: At) -> None:
        match self._text[self._at]:
            case '"' | "'":
                self._skip(_STRING)
            case "[":
                self._array(path)
            case "{":
                while self._more("}"):
                    self._pair(path)
            case _:
                self._skip(_SCALAR)

    def _array(self, path: At) -> None:
        index = 0
        while self._more("]"):
            self._lines[(*path, index)] = self._line()
            self._value((*path, index))
            index += 1

    def _more(self, end: str) -> bool:
        """Skip an opening bracket, a comma or the closing bracket; return whether another element follows."""
        self._skip(_BLANK)
        if self._text[self._at] != end:
            self._at += 1
            self._skip(_BLANK)
        if self._text[self._at] == end:
            self._at += 1
            return False
        return True

    def _line(self) -> int:
        return bisect_left(self._ends, self._at) + 1

    def _skip(self, pattern: re.Pattern[str]) -> None:
        match = pattern.match(self._text, self._at)
        assert match is not None, "the text was read by tomllib, so what must stand here does"
        self._at = match.end()

    def _take(self, pattern: re.Pattern[str]) -> str:
        begin = self._at
        self._skip(pattern)
        return self._text[begin : self._at]
