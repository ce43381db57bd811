"""The files of the page."""

from __future__ import annotations

from importlib.resources import files
from typing import Final

from arrowstream.display.style import sheet

_ASSETS: Final = files("arrowstream.page") / "assets"


def asset(name: str) -> str:
    """Return the text of a file of the page.

    Parameters
    ----------
    name
        The name of the file, such as ``"page.js"``.
    """
    return (_ASSETS / name).read_text("utf-8")


def page_style() -> str:
    """Return the style sheet of the page: that of everything that is shown, and what the page adds."""
    return sheet() + asset("page.css")
