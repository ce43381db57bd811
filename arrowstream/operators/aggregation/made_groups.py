"""Groups of a batch that are made where its rows lie, such as on a GPU, and are aggregated in place of the rows."""

from __future__ import annotations

import polars as pl

from arrowstream.core.batch import Batch, to_frame
from arrowstream.core.rows.elsewhere import form_elsewhere
from arrowstream.core.rows.grouping import Grouping


def made_groups(batch: Batch, grouping: Grouping, first_row: int) -> pl.DataFrame | None:
    """Return the groups of a batch, or None if its rows are to be taken.

    None if the rows are in host memory already, or if their form does not group them.

    Parameters
    ----------
    batch
        The batch.
    grouping
        How rows are grouped.
    first_row
        The number that the batch's first row has in the stream.

    Returns
    -------
    polars.DataFrame or None
        The groups sorted by pane, and in the order of their first rows, which are numbered in the stream.
    """
    form = form_elsewhere(batch)
    made = None if form is None or form.grouped is None else form.grouped(batch.form(form.name), grouping)
    if made is None:
        return None
    row, panes = pl.col(grouping.row), grouping.panes
    return to_frame(made).with_columns(row + first_row).sort(*([] if panes is None else [panes.name]), row)
