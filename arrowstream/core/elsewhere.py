"""Rows that lie in no host memory, such as those of a GPU, and the form that holds them."""

from __future__ import annotations

from arrowstream.core.batch import Batch
from arrowstream.core.rows.forms import FORMS, Form


def form_elsewhere(batch: Batch) -> Form | None:
    """Return the form that alone holds a batch's rows, or None if they are in host memory."""
    if batch.has("arrow") or batch.has("polars"):
        return None
    return next(form for form in FORMS.values() if batch.has(form.name))
