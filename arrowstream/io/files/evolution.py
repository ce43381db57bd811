"""Files of one source whose columns differ: which differences are allowed, and the types that hold all values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import polars as pl

from arrowstream.core.hints import did_you_mean
from arrowstream.errors import PlanError

if TYPE_CHECKING:
    from polars._typing import PolarsDataType

Missing = Literal["error", "insert"]
Extra = Literal["error", "ignore"]

_SIGNED: Final = (pl.Int8, pl.Int16, pl.Int32, pl.Int64)
_UNSIGNED: Final = (pl.UInt8, pl.UInt16, pl.UInt32, pl.UInt64)
_BITS: Final[dict[object, int]] = {
    dtype: 8 << place for kinds in (_SIGNED, _UNSIGNED) for place, dtype in enumerate(kinds)
}
_EXACT_BITS: Final[dict[object, int]] = {pl.Float32: 24, pl.Float64: 53}
"""Bits of the integers that a float holds exactly."""

_OTHER_WORDS: Final = {
    **dict.fromkeys(
        (("missing_columns", word) for word in ("ignore", "null", "nulls", "fill", "add", "allow", "True")),
        "write missing_columns='insert': the column is null in the rows of such a file",
    ),
    **dict.fromkeys(
        (("extra_columns", word) for word in ("drop", "skip", "remove", "discard", "allow", "True")),
        "write extra_columns='ignore': the column is left out",
    ),
    **dict.fromkeys(
        (("extra_columns", word) for word in ("insert", "add", "keep")),
        "name the column with its type, schema={...}, and write missing_columns='insert' for files without it",
    ),
    **dict.fromkeys(
        (
            (name, word)
            for name in ("missing_columns", "extra_columns")
            for word in ("raise", "fail", "forbid")
        ),
        "write 'error', or leave it out",
    ),
}
"""Hints for values that other libraries or common sense suggest, by argument and value."""

_WIDER: Final = tuple(dtype() for dtype in (*_UNSIGNED, *_SIGNED, pl.Float32, pl.Float64))


@dataclass(frozen=True, slots=True)
class Evolution:
    """Differences between the columns of a source's files that are allowed.

    Parameters
    ----------
    missing_columns
        ``"insert"`` to read a column that a file lacks as nulls, ``"error"`` to refuse the file.
    extra_columns
        ``"ignore"`` to leave out a column that the first file lacks, ``"error"`` to refuse the file.
    widen
        Whether a column may have several types in the files: it gets the one that holds all their values exactly.

    Raises
    ------
    PlanError
        An option has another value.
    """

    missing_columns: Missing = "error"
    extra_columns: Extra = "error"
    widen: bool = False

    def __post_init__(self) -> None:
        for name, given, known in (
            ("missing_columns", self.missing_columns, ("error", "insert")),
            ("extra_columns", self.extra_columns, ("error", "ignore")),
        ):
            if given not in known:
                raise PlanError(
                    f"{name} has no choice {given!r}",
                    expected=" or ".join(map(repr, known)),
                    found=repr(given),
                    hint=_OTHER_WORDS.get((name, str(given))) or did_you_mean(str(given), known),
                )

    def allows(self, found: PolarsDataType | None, expected: PolarsDataType | None) -> bool:
        """Return whether a file may have the type `found` for a column of type `expected`; None if it is missing."""
        if found is None:
            return self.missing_columns == "insert"
        if expected is None:
            return self.extra_columns == "ignore"
        return found == expected or (self.widen and holds(expected, found))

    def widened(self, columns: pl.Schema, other: pl.Schema, *, text: bool) -> pl.Schema:
        """Return the columns with types that hold their values in another file too, where `widen` is set.

        Parameters
        ----------
        columns
            Columns of the files so far.
        other
            Columns of the next file.
        text
            Whether the types are inferred from text, which a String always holds.
        """
        if not self.widen:
            return columns
        return pl.Schema(
            {
                name: wider(dtype, other[name], text=text) if name in other else dtype
                for name, dtype in columns.items()
            }
        )


def holds(wide: PolarsDataType, narrow: PolarsDataType) -> bool:
    """Return whether a type holds every value of another one exactly.

    Examples
    --------
    >>> holds(pl.Int64(), pl.UInt32()), holds(pl.Float64(), pl.Int64())
    (True, False)
    """
    if wide == narrow or narrow == pl.Null:
        return True
    if isinstance(wide, pl.List) and isinstance(narrow, pl.List):
        return holds(wide.inner, narrow.inner)
    if wide == pl.String:
        return narrow in (pl.Categorical, pl.Enum)
    if wide == pl.Float64 and narrow == pl.Float32:
        return True
    bits = _BITS.get(narrow.base_type())
    if bits is None:
        return False
    if wide.base_type() in _EXACT_BITS:
        return bits <= _EXACT_BITS[wide.base_type()]
    return _BITS.get(wide.base_type(), 0) > bits and (wide in _SIGNED or narrow in _UNSIGNED)


def wider(one: PolarsDataType, other: PolarsDataType, *, text: bool) -> PolarsDataType:
    """Return the narrowest type that holds the values of two types; `one` if no type does.

    Parameters
    ----------
    one, other
        The types.
    text
        Whether the types are inferred from text, which a String always holds.
    """
    for wide in (one, other, *_WIDER):
        if holds(wide, one) and holds(wide, other):
            return wide
    if not text:
        return one
    return pl.Float64() if {one, other} == {pl.Int64(), pl.Float64()} else pl.String()
