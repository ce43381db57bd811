"""Comparison of frames, with the first row that differs."""

from __future__ import annotations

from typing import Any

import polars as pl
from polars.testing import assert_frame_equal

from arrowstream.core.ingest import batches_of
from arrowstream.core.plural import counted


def assert_frames_equal(
    found: Any,
    expected: Any,
    *,
    any_order: bool = False,
    any_column_order: bool = False,
    exact: bool = True,
) -> None:
    """Raise unless two frames have the same columns, types and rows.

    Parameters
    ----------
    found, expected
        Arrow-like frames, such as those of `TestSink.frame()`; or lists of frames, which are joined.
    any_order
        Whether the order of rows is ignored; each row must occur the same number of times.
    any_column_order
        Whether the order of columns is ignored.
    exact
        Whether floats must be equal; otherwise the tolerance is that of `polars.testing`.

    Raises
    ------
    AssertionError
        The frames differ; the message names the columns, or shows the first row that differs in both frames.

    Examples
    --------
    >>> assert_frames_equal(pl.DataFrame({"x": [1, 2]}), [pl.DataFrame({"x": [1]}), pl.DataFrame({"x": [2]})])
    >>> assert_frames_equal(pl.DataFrame({"x": [1, 2, 3]}), pl.DataFrame({"x": [1, 5, 3]}))
    Traceback (most recent call last):
        ...
    AssertionError: row 1 differs
      expected: {'x': 5}
      found:    {'x': 2}
    """
    __tracebackhide__ = True
    left, right = _frame(found), _frame(expected)
    if any_column_order and set(left.columns) == set(right.columns):
        left = left.select(right.columns)
    if left.schema != right.schema or left.columns != right.columns:
        raise AssertionError(_columns_differ(left.schema, right.schema))
    if any_order:
        left, right = _sorted(left), _sorted(right)
    if _equal(left, right, exact):
        return
    row = _first_difference(left, right, exact)
    what = f"row {row}{' of the sorted rows' if any_order else ''} differs"
    if left.height != right.height:
        what = f"{counted(right.height, 'rows')} expected, {left.height} found; {what}"
    raise AssertionError(f"{what}\n  expected: {_row(right, row)}\n  found:    {_row(left, row)}")


def _frame(data: Any) -> pl.DataFrame:
    parts = data if isinstance(data, list | tuple) else [data]
    return pl.concat([batch.polars() for part in parts for batch in batches_of(part)])


def _columns_differ(found: pl.Schema, expected: pl.Schema) -> str:
    lines = ["columns differ"]
    lines += [f"  missing:  {name}: {dtype}" for name, dtype in expected.items() if name not in found]
    lines += [f"  too many: {name}: {dtype}" for name, dtype in found.items() if name not in expected]
    lines += [
        f"  {name}: expected {dtype}, found {found[name]}"
        for name, dtype in expected.items()
        if name in found and found[name] != dtype
    ]
    if len(lines) == 1:
        lines.append(f"  expected the order {', '.join(expected)}, found {', '.join(found)}")
    return "\n".join(lines)


def _sorted(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.sort(pl.all(), nulls_last=True) if frame.width else frame


def _equal(left: pl.DataFrame, right: pl.DataFrame, exact: bool) -> bool:
    try:
        assert_frame_equal(left, right, check_exact=exact, categorical_as_str=True)
    except AssertionError:
        return False
    return True


def _first_difference(left: pl.DataFrame, right: pl.DataFrame, exact: bool) -> int:
    """Return the first row that differs, found by halving; if only the lengths differ, the first extra row."""
    low, high = 0, min(left.height, right.height)
    while low < high:
        middle = (low + high) // 2
        rows = middle + 1 - low
        if _equal(left.slice(low, rows), right.slice(low, rows), exact):
            low = middle + 1
        else:
            high = middle
    return low


def _row(frame: pl.DataFrame, row: int) -> str:
    return str(frame.row(row, named=True)) if row < frame.height else "no such row"
