"""The forms in which a user's function may ask for a batch: Arrow, Polars, pandas or cuDF."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, Literal, get_args

import pyarrow as pa

from arrowstream.core.batch import Batch, to_frame, to_record
from arrowstream.core.hints import did_you_mean
from arrowstream.errors import MissingExtra, PlanError

FrameForm = Literal["arrow", "polars", "pandas", "cudf"]
"""What a user's function gets a batch as."""

FORMS: tuple[FrameForm, ...] = get_args(FrameForm)


def check_form(step: str, form: str) -> None:
    """Refuse a form that does not exist.

    Raises
    ------
    PlanError
        `form` isn't one of `FORMS`.
    """
    if form not in FORMS:
        raise PlanError(
            f"{step}() cannot hand over such a frame",
            expected="frame=" + " or ".join(repr(known) for known in FORMS),
            found=repr(form),
            hint=did_you_mean(str(form), FORMS),
        )


def to_form(form: str) -> Callable[[Batch], Any]:
    """Return a function from a batch to a frame of this form; imports the form's library.

    Raises
    ------
    MissingExtra
        The form's library is not installed.
    """
    if form == "arrow":
        return Batch.arrow
    if form == "polars":
        return _polars
    if form == "pandas":
        _import("pandas", "pip install pandas")
        return _pandas
    frame = _import(
        "cudf", "pip install cudf-cu13, or cudf-cu12 for CUDA 12, on a machine with an NVIDIA GPU"
    ).DataFrame
    return lambda batch: frame.from_arrow(pa.Table.from_batches([batch.arrow()]))


def from_form(result: Any) -> Any:
    """Return a user's result as a value that `ingest.batches_of` reads: cuDF frames become Arrow tables."""
    if type(result).__module__.partition(".")[0] == "cudf":
        return result.to_arrow(preserve_index=False)
    return result


def _polars(batch: Batch) -> Any:
    # A new frame over the same memory: adding a column in place would change the batch for all its holders.
    return batch.polars().clone()


def _pandas(batch: Batch) -> Any:
    # Arrow's types inside pandas: NumPy's would turn integers into floats only in batches with nulls.
    frame = batch.polars().clone()  # two threads must not export the same frame, see `to_record`
    try:
        return frame.to_pandas(use_pyarrow_extension_array=True)
    except pa.ArrowInvalid:
        # Polars 1.35 exports some slices of nullable structs wrongly; see `to_record`.
        return to_frame(to_record(frame)).to_pandas(use_pyarrow_extension_array=True)


def _import(library: str, hint: str) -> Any:
    try:
        return import_module(library)
    except ImportError as error:
        raise MissingExtra(f'frame="{library}" needs {library}, which is not installed', hint=hint) from error
