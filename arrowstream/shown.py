"""What notebooks ask of an object: text and HTML.

Both are made by `arrowstream.display`, which is above all that it shows, and is imported when something is shown. So
a class names its functions there, as text.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, ClassVar


def by_display(name: str, thing: object) -> Any:
    """Return what a function of `arrowstream.display` makes of an object.

    Parameters
    ----------
    name
        Module and function, such as ``report.report_html``.
    thing
        The object.
    """
    module, _, function = name.partition(".")
    return getattr(import_module(f"arrowstream.display.{module}"), function)(thing)


class Shown:
    """An object that notebooks show as HTML, and programs without HTML as text."""

    __slots__ = ()

    _shown_by: ClassVar[str]
    """Module and beginning of the names of the functions: ``report.report`` for `report_html` and `report_text`."""

    def _repr_html_(self) -> Any:
        return by_display(f"{self._shown_by}_html", self)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return {"text/plain": by_display(f"{self._shown_by}_text", self), "text/html": self._repr_html_()}
