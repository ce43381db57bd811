"""Descriptions for editors, from the docstrings of what a job calls."""

from __future__ import annotations

import re
from inspect import getdoc
from typing import Any

_ENTRY = re.compile(r"^(?P<names>\w+(?:, \w+)*)\n(?P<text>(?:(?: .*)?\n)+)", re.MULTILINE)
_SECTION = re.compile(r"^Parameters\n-+\n(?P<entries>.*?)(?=^\w[\w ]*\n-+\n|\Z)", re.MULTILINE | re.DOTALL)


def summary(documented: Any) -> str:
    """Return the first paragraph of a docstring on one line; empty without one.

    Examples
    --------
    >>> summary(summary)
    'Return the first paragraph of a docstring on one line; empty without one.'
    """
    first, *_ = (getdoc(documented) or "").split("\n\n")
    return _one_line(first)


def parameters(documented: Any) -> dict[str, str]:
    """Return the description of each parameter in a docstring, on one line.

    Parameters
    ----------
    documented
        A function or class.

    Examples
    --------
    >>> parameters(parameters)
    {'documented': 'A function or class.'}
    """
    section = _SECTION.search(getdoc(documented) or "")
    entries = "" if section is None else section["entries"] + "\n"
    return {
        name: _one_line(entry["text"])
        for entry in _ENTRY.finditer(entries)
        for name in entry["names"].split(", ")
    }


def _one_line(text: str) -> str:
    return " ".join(text.replace("``", "`").split())
