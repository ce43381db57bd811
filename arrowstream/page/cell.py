"""A run in a cell of a notebook: the live view, or HTML that is written again each second."""

from __future__ import annotations

import threading
from typing import Any, Final

from arrowstream.display.running import running_html, running_text
from arrowstream.page.widget import live_widget
from arrowstream.runtime.background.running import Running

_EVERY: Final = 1.0
"""Time between two states of the HTML, in seconds."""


def show_in_cell(running: Running) -> None:
    """Show a run in the output of the current cell.

    With anywidget (extra ``notebook``) it is the live view. The HTML next to it is for notebooks without widgets and
    for files on disk: it is written again each second without anywidget, otherwise at the end of the run.

    Parameters
    ----------
    running
        The run.
    """
    from IPython.display import display

    prints = _only_prints()
    widget = {} if prints else _widget_of(running)

    def bundle() -> dict[str, Any]:
        return {"text/plain": running_text(running), "text/html": running_html(running), **widget}

    handle = display(bundle(), raw=True, display_id=True)  # type: ignore[no-untyped-call]
    if handle is None or running.done or prints:  # no notebook is there, or nothing will change
        return

    def follow() -> None:
        while not running.join(None if widget else _EVERY):
            handle.update(bundle(), raw=True)
        handle.update(bundle(), raw=True)

    threading.Thread(target=follow, name="arrowstream-cell", daemon=True).start()


def _only_prints() -> bool:
    """Return True in IPython on a terminal, which would print each new state below the one before."""
    from IPython.core.displaypub import DisplayPublisher
    from IPython.core.getipython import get_ipython

    shell = get_ipython()
    return shell is not None and type(shell.display_pub) is DisplayPublisher


def _widget_of(running: Running) -> dict[str, Any]:
    """Return what a notebook needs to show the live view; nothing without anywidget."""
    try:
        widget = live_widget(running)
    except ImportError:
        return {}
    made: Any = widget._repr_mimebundle_() or {}
    data = made[0] if isinstance(made, tuple) else made
    return {kind: value for kind, value in data.items() if kind.startswith("application/")}
