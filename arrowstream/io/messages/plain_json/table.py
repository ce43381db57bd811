"""The table of columns that the compiled loop gets, and the marks that it makes."""

from __future__ import annotations

from typing import Final

TEXT, INTEGER, FLOAT, BOOLEAN, DATE, TIME = range(6)
"""Kinds of columns."""

KIND, SLOT, FIRST, SECOND, NAME, NAME_END, SCRATCH, SCRATCH_END = range(8)
"""Fields of the table of columns.

`SLOT`: where the column begins in the numbers. `FIRST` and `SECOND`: least and most value of an `INTEGER`, units in a
second and zone of a `TIME`. `NAME` to `NAME_END`: its key in the names. `SCRATCH`: where its texts begin, and
`SCRATCH_END` how far they reach. The last row of the table is that of keys that are no columns; its `FIRST` is 1 if
objects with such keys are left to others.
"""

FIELDS: Final = 8

THERE, NULL = 1, 2
"""Marks of values."""
