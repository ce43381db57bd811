"""The forms that rows may have in memory: one for each type of object that a backend computes with.

A `Batch` holds its rows in the form in which they came, and makes any other form from Arrow on demand.
`arrowstream.core.batch` registers Arrow and Polars. A backend with separate memory, such as a
GPU, registers a form, computes with `batch.form(name)`, and returns `batch.with_rows(...)`; two adjacent segments on
this backend then convert nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from arrowstream.core.rows.grouping import Grouping
from arrowstream.core.rows.lookup import LookupTable
from arrowstream.errors import PlanError

Rows = Any
"""Rows in some form: a `pyarrow.RecordBatch`, a `polars.DataFrame`, or an object of a registered type."""


@dataclass(frozen=True, slots=True)
class Form:
    """One form of rows. Its functions are called from any thread, and must not change their argument.

    Parameters
    ----------
    name
        Name of the form, as given to `Batch.form`, such as ``"gpu"``.
    type
        The Python type of rows in this form; no other form has it.
    from_arrow
        Makes rows from a RecordBatch in the oldest-compatible Arrow types (`arrowstream.core.rows.arrow_schema`).
    to_arrow
        Makes a RecordBatch with exactly these types and the same schema metadata.
    num_rows
        Returns the number of rows. Called once for each batch, so it must not wait for a device.
    nbytes
        Returns the bytes of memory that the rows take, for the limits of channels.
    slice
        Returns `length` rows from `offset` on, without a copy where the form allows it.
    grouped
        Returns the groups of the rows, in any order. None if the rows are to be grouped in another form: the result
        could differ, nothing would be saved, or a time is null or not between the first and the last one that are
        wanted. None in its place: the form makes no groups.
    looked_up
        Returns the rows with what a table has for them, in their order and in this form. None if they are to be
        looked up in another form. None in its place: the form looks nothing up.
    """

    name: str
    type: type
    from_arrow: Callable[[pa.RecordBatch], Rows]
    to_arrow: Callable[[Rows], pa.RecordBatch]
    num_rows: Callable[[Rows], int]
    nbytes: Callable[[Rows], int]
    slice: Callable[[Rows, int, int], Rows]
    grouped: Callable[[Rows, Grouping], pa.RecordBatch | None] | None = None
    looked_up: Callable[[Rows, LookupTable], Rows | None] | None = None


FORMS: dict[str, Form] = {}
"""All registered forms, by name."""

_BY_TYPE: dict[type, Form] = {}
"""Forms by type of rows: the registered types, and the subtypes found so far."""


def register_form(form: Form) -> None:
    """Register a form, so that batches can hold rows of it.

    Raises
    ------
    PlanError
        Another form has this name or this type.
    """
    for known in FORMS.values():
        if known != form and (known.name == form.name or known.type is form.type):
            raise PlanError(
                f"a form of rows called {known.name!r} exists already",
                expected="a name and a type of rows that no other form has",
                found=f"{form.name!r} for {form.type.__qualname__}",
            )
    FORMS[form.name] = form
    _BY_TYPE[form.type] = form


def form_of(rows: Rows) -> Form:
    """Return the form of an object.

    Raises
    ------
    PlanError
        No registered form has the object's type or a base of it.
    """
    form = _BY_TYPE.get(type(rows))
    return form if form is not None else _inherited(type(rows))


def _inherited(kind: type) -> Form:
    for base in kind.__mro__:
        if base in _BY_TYPE:
            return _BY_TYPE.setdefault(kind, _BY_TYPE[base])
    raise PlanError(
        "a batch cannot hold rows of this type",
        expected=" or ".join(form.type.__qualname__ for form in FORMS.values()),
        found=f"{kind.__module__}.{kind.__qualname__}",
        hint="register_form(Form(...)) lets batches hold rows of another type",
    )
