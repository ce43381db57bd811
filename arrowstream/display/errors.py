"""Errors as HTML, where an error is the value of a cell."""

from __future__ import annotations

from arrowstream.core.failures import causes
from arrowstream.display.style import shown
from arrowstream.display.tables import error_box
from arrowstream.errors import ArrowstreamError


def error_html(error: ArrowstreamError) -> str:
    """Return an error and those that caused it."""
    return shown(*map(error_box, causes(error)))
