"""What to tell somebody whose function takes a batch for a dataframe."""

from __future__ import annotations


def frame_hint(error: BaseException, *, sink: bool = False) -> str | None:
    """How to get a dataframe, if an error says that an Arrow object was used like one; else None.

    Told by the error's text: those of worker processes come without the object.

    Examples
    --------
    >>> frame_hint(AttributeError("'pyarrow.lib.RecordBatch' object has no attribute 'with_columns'"))
    'the function gets a pyarrow.RecordBatch; with frame="polars" it gets a Polars frame'
    """
    if not (isinstance(error, AttributeError | TypeError) and "'pyarrow." in str(error)):
        return None
    how = (
        "pl.from_arrow(batch) makes a Polars frame of it"
        if sink
        else 'with frame="polars" it gets a Polars frame'
    )
    return f"the function gets a pyarrow.RecordBatch; {how}"
