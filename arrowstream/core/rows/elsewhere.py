"""Rows that lie in no host memory, such as those of a GPU, and the form that holds them."""

from __future__ import annotations

from arrowstream.core.batch import Batch
from arrowstream.core.rows.forms import FORMS, Form
from arrowstream.core.rows.lookup import LookupTable


def form_elsewhere(batch: Batch) -> Form | None:
    """Return the form that alone holds a batch's rows, or None if they are in host memory."""
    if batch.has("arrow") or batch.has("polars"):
        return None
    return next(form for form in FORMS.values() if batch.has(form.name))


def is_elsewhere(batch: Batch | None) -> bool:
    """Return whether to ask for a batch's rows is to wait for a device, whatever it is doing; False for None."""
    return batch is not None and form_elsewhere(batch) is not None


def forget_elsewhere(batch: Batch) -> None:
    """Keep the rows of a batch, which are in host memory, too, only there."""
    for name in FORMS:
        batch.forget(name)


def looked_up(batch: Batch, table: LookupTable) -> Batch | None:
    """Return a batch with what a table has for its rows, in the form in which they are; None if that cannot be."""
    form = form_elsewhere(batch)
    found = None if form is None or form.looked_up is None else form.looked_up(batch.form(form.name), table)
    return None if found is None else batch.with_rows(found)
