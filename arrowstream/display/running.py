"""A run in the background as HTML, at one moment."""

from __future__ import annotations

from arrowstream.display.graph import svg
from arrowstream.display.report import stages_table
from arrowstream.display.style import shown
from arrowstream.display.tables import folded, head, message_box, said
from arrowstream.runtime.background.running import Running


def running_html(running: Running) -> str:
    """Return what a run has done so far: its state, totals, a row for each stage, losses, the error, the graph."""
    now, metrics = running.snapshot(), running.metrics()
    totals = str(metrics).removeprefix(f"{metrics.name}: ")
    parts = [head("Run of", now.name, f"{now.state}: {totals}"), stages_table(metrics.stages.values())]
    if now.losses is not None:
        parts.append(said(now.losses, "as-lost" if now.has_losses else "as-said"))
    if now.error is not None:
        title, _, message = now.error.partition(": ")
        parts.append(message_box(title, message))
    parts.append(folded("graph", f'<div class="as-scroll">{svg(now.outline)}</div>'))
    return shown(*parts)


def running_text(running: Running) -> str:
    """Return the run on one line."""
    return repr(running)
