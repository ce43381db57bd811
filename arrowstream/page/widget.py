"""The live view in a cell of a notebook: the script of the page, with messages in place of a server."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Final

import msgspec

from arrowstream.page.answers import Answers, Viewed, is_going
from arrowstream.page.files import asset, page_style

if TYPE_CHECKING:
    from anywidget import AnyWidget

_EVERY: Final = 1.0
"""Time between two messages with figures, in seconds."""


def live_widget(viewed: Viewed) -> AnyWidget:
    """Return a widget that shows a run.

    A thread sends the figures while the run goes on, so that they change also while a cell of the notebook waits for
    the run. The last rows of a stage are an answer of the kernel, which may have to wait for that cell.

    Parameters
    ----------
    viewed
        The run.

    Raises
    ------
    ImportError
        anywidget (extra ``notebook``) is not installed.
    """
    import anywidget
    import traitlets

    answers = Answers(viewed)

    def reply(widget: AnyWidget, message: dict[str, Any], buffers: list[Any]) -> None:
        number = message.get("number")
        try:
            answer = _answer(answers, message)
        except Exception as error:  # the view shows it in place of the figures
            widget.send({"number": number, "error": f"{type(error).__name__}: {error}"})
        else:
            widget.send({"number": number, "answer": answer})

    class Live(anywidget.AnyWidget):
        _esm = asset("page.js") + asset("widget.js")
        _css = page_style()
        first = traitlets.Dict().tag(sync=True)

    first = {what: _answer(answers, {"what": what}) for what in ("state", "graph", "history")}
    widget = Live(first=first)
    widget.on_msg(reply)
    threading.Thread(
        target=_send_figures, args=(widget, answers), name="arrowstream-view", daemon=True
    ).start()
    return widget


def _answer(answers: Answers, message: dict[str, Any]) -> Any:
    what = message["what"]
    if what == "tail":
        return msgspec.to_builtins(answers.tail(str(message["stage"]), int(message["rows"])))
    known = {"state": answers.state, "graph": answers.graph, "history": answers.history, "stop": answers.stop}
    return msgspec.to_builtins(known[what]())


def _send_figures(widget: AnyWidget, answers: Answers) -> None:
    """Send the figures once a second, and those of the end."""
    pause = threading.Event()
    going = True
    while going:
        pause.wait(_EVERY)
        state = answers.state()
        going = is_going(state["state"])
        widget.send({"state": msgspec.to_builtins(state)})
