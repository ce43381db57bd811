"""Paths in a job: relative ones start at the folder of the job file."""

from __future__ import annotations

import re
from glob import escape
from pathlib import Path

from arrowstream.config.toml_file import Value

_ELSEWHERE = re.compile(r"~|-$|[A-Za-z][A-Za-z0-9+.-]+:/")
"""Beginnings of paths that start at no folder: a home folder, standard input or output, a URL."""
_FILE_URI = re.compile(r"((?:sqlite|duckdb):///)([^/:].*)", re.IGNORECASE | re.DOTALL)
"""URI of a database in a file, with a relative path."""


def path(value: Value) -> str:
    """Read a path."""
    return starting_at(value.file.folder, value.text())


def paths(value: Value) -> str | list[str]:
    """Read a path or pattern, or an array of them."""
    items = value.items() if isinstance(value.found, list) else [value]
    found = [starting_at(_as_pattern(value.file.folder, item.text()), item.text()) for item in items]
    return found if isinstance(value.found, list) else found[0]


def uri(value: Value) -> str:
    """Read the URI of a database, whose file starts at the folder of the job file if its path is relative."""
    text = value.text()
    found = _FILE_URI.fullmatch(text)
    return text if found is None else found[1] + starting_at(value.file.folder, found[2])


def starting_at(folder: Path, text: str) -> str:
    """Return a path that starts at `folder` if it is relative; a slash at its end stays.

    Examples
    --------
    >>> starting_at(Path("jobs"), "out/"), starting_at(Path("jobs"), "/tmp/x.csv"), starting_at(Path(), "x.csv")
    ('jobs/out/', '/tmp/x.csv', 'x.csv')
    >>> [starting_at(Path("jobs"), text) for text in ("-", "~/x.csv", "s3://bucket/x.csv", "")]
    ['-', '~/x.csv', 's3://bucket/x.csv', '']
    """
    if not text or _ELSEWHERE.match(text) or Path(text).is_absolute():
        return text
    return str(folder / text) + "/" * text.endswith("/")


def _as_pattern(folder: Path, text: str) -> Path:
    """Return the folder as a part of a pattern, in which its own brackets and stars mean themselves."""
    return Path(escape(str(folder))) if escape(text) != text else folder
