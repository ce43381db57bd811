"""What notebooks ask of an object: text and HTML.

The HTML is made by `arrowstream.display`, which is above everything that it shows, and is imported when something is
shown. So a class names its function, as text.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, ClassVar


def html_by(name: str, thing: object) -> str:
    """Return the HTML of an object.

    Parameters
    ----------
    name
        Module and function in `arrowstream.display`, such as ``report.report_html``.
    thing
        The object.
    """
    module, _, function = name.partition(".")
    drawn: str = getattr(import_module(f"arrowstream.display.{module}"), function)(thing)
    return drawn


class Shown:
    """An object that notebooks show as HTML, and programs without HTML as text."""

    __slots__ = ()

    _html_function: ClassVar[str]
    """Module and function in `arrowstream.display` that make the HTML."""

    def _plain_text(self) -> str:
        """Return what a program without HTML shows."""
        return str(self)

    def _repr_html_(self) -> str:
        return html_by(self._html_function, self)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/plain": self._plain_text(), "text/html": self._repr_html_()}
