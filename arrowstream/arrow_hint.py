"""What to tell somebody whose function takes a batch for a dataframe."""

from __future__ import annotations


def frame_hint(error: BaseException) -> str | None:
    """How to get a dataframe, if an error says that an Arrow object was used like one; else None.

    Told by the error's text: those of worker processes come without the object.

    Examples
    --------
    >>> frame_hint(AttributeError("'pyarrow.lib.RecordBatch' object has no attribute 'with_columns'"))
    'a batch is a pyarrow.RecordBatch: map(fn, frame="polars") gives a frame, as does pl.from_arrow(batch)'
    """
    if not (isinstance(error, AttributeError | TypeError) and "'pyarrow." in str(error)):
        return None
    return 'a batch is a pyarrow.RecordBatch: map(fn, frame="polars") gives a frame, as does pl.from_arrow(batch)'
