"""The trace of the first rows of a pipeline as HTML: a row for each of them, a column for each step."""

from __future__ import annotations

from arrowstream.builder.execution.trace import DROPPED, UNCHANGED, Trace, TraceStep
from arrowstream.core.plural import counted
from arrowstream.display.style import shown
from arrowstream.display.tables import SHOWN_COLUMNS, Styled, head, message_box, said, table

_FACES = {DROPPED: "as-lost", UNCHANGED: "as-said"}
"""The style of cells: what a step leaves as it is stays in the background."""

_ROWS = 20
"""Largest number of rows that are shown of a step with rows of its own."""

trace_text = str


def trace_html(trace: Trace) -> str:
    """Return the trace: what each step changes in each row, where rows are dropped, the rows of a step's own."""
    source = trace.steps[0]
    kept = [place for place, step in enumerate(trace.steps) if step.rows is not None]
    headings = ("row", *(trace.steps[place].text for place in kept))
    rows = [
        (number, *(Styled(cells[place], _FACES.get(cells[place], "as-mono")) for place in kept))
        for number, cells in enumerate(trace.cells())
    ]
    parts = [
        head("Trace of", trace.name, f"{counted(source.frame.height, 'rows')} of {source.text}"),
        table(headings, rows, (0,), label="rows after each step"),
    ]
    for step in trace.steps:
        if step.error is not None:
            parts.append(message_box(step.text, step.error))
        elif step.rows is None:
            parts += [
                said(f"after {step.text}, {counted(step.frame.height, 'rows')} of its own:"),
                _frame(step),
            ]
    return shown(*parts)


def _frame(step: TraceStep) -> str:
    frame = step.frame.head(_ROWS)
    columns = frame.columns[:SHOWN_COLUMNS]
    left = step.frame.height - frame.height
    more = said(f"and {counted(left, 'more rows')}") if left else ""
    return table(columns, frame.select(columns).rows(), label=f"rows of {step.id}") + more
