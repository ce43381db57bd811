"""Rewriting of a block of NDJSON, so that Polars keeps every value that the schema has a column for.

This is for blocks with a key twice in one object, and for those with numbers in text columns, which Polars would
reformat (1.10 as 1.1): the first are taken out of the text, the others put in quotes.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from arrowstream.io.files.text.formats import FlawedRecord
from arrowstream.io.files.text.json.items import Items, Tape
from arrowstream.io.files.text.json.tokens import keyed_values, skip_blanks_back
from arrowstream.io.files.text.records import Positions

if TYPE_CHECKING:
    from polars._typing import PolarsDataType

_QUOTE, _BACKSLASH, _OBJECT, _LIST, _NULL = (ord(sign) for sign in '"\\{[n')
_BLANKS: Final = np.frombuffer(b" \t\r\n", np.uint8)

_ROW, _LEFT, _DROPPED = 0, -1, -2
"""Numbers of the column of rows, of values that stay as they are, and of values that are no columns."""


class _Columns:
    """Columns at all depths, by number: the rows have number 0.

    Parameters
    ----------
    schema
        Names and types of the columns.
    """

    __slots__ = ("_fields", "_items", "kinds", "paths")

    def __init__(self, schema: pl.Schema) -> None:
        self.kinds: list[str] = []
        """For each column ``object``, ``list``, ``text`` or ``other``."""
        self.paths: list[tuple[str, ...]] = []
        self._fields: dict[tuple[int, str], int] = {}
        self._items: list[int] = []
        self._add(pl.Struct(schema), ())

    def _add(self, dtype: PolarsDataType, path: tuple[str, ...]) -> int:
        number = len(self.kinds)
        self.kinds.append("text" if dtype == pl.String else "other")
        self.paths.append(path)
        self._items.append(_LEFT)
        if isinstance(dtype, pl.Struct):
            self.kinds[number] = "object"
            for field in dtype.fields:
                self._fields[number, field.name] = self._add(field.dtype, (*path, field.name))
        elif isinstance(dtype, (pl.List, pl.Array)):
            self.kinds[number] = "list"
            self._items[number] = self._add(dtype.inner, path)
        return number

    def having(self, kind: str) -> npt.NDArray[np.bool_]:
        """Return which columns are of this kind; shape (columns,), bool."""
        return np.array([kind == own for own in self.kinds])

    def elements(self) -> npt.NDArray[np.int64]:
        """Return for each column the number of its elements' column if it is of lists; shape (columns,), int64."""
        return np.array(self._items)

    def field(self, parent: int, name: str) -> int:
        """Return the number of a field of a column of objects, `_DROPPED` if it has none of this name."""
        return self._fields.get((parent, name), _DROPPED)


class Restated:
    """Rows of a block rewritten so that every key is a column, comes once, and has text if its column is text.

    If an object has a key twice, the first value stays, as in Polars.

    Parameters
    ----------
    block
        Lines of NDJSON that Polars can read.
    schema
        Names and types of the columns.

    Raises
    ------
    FlawedRecord
        The schema has a struct where the text has a value that is not an object.
    """

    __slots__ = ("_block", "_columns", "_gone", "_keyed", "_quoted", "_tape", "data", "first", "lost")

    def __init__(self, block: bytes, schema: pl.Schema) -> None:
        self.lost = 0
        """Number of values that are not null and that the rows leave out."""
        self.first: tuple[int, str] | None = None
        """Line of the first of these values, counted from 0, and its key; None if there are none."""
        self._block = block
        self._columns = _Columns(schema)
        self._tape = Tape(block)
        self._keyed = keyed_values(self._tape.view, self._tape.quotes)
        self._gone: list[tuple[Positions, Positions]] = []
        """First and last (exclusive) bytes of what is taken out."""
        self._quoted: list[tuple[Positions, Positions]] = []
        """First and last (exclusive) bytes of values that get quotes."""
        containers: Positions | None = None
        places: list[tuple[int, str]] = []
        for items in self._tape.depths():
            if containers is None:
                containers = np.full(int(items.container.max(initial=-1)) + 1, _ROW)
            containers = self._depth(items, containers, places)
        if places:
            at, key = min(places)
            self.first = self._line(at), key
        self.data = self._rewritten()

    def _depth(self, items: Items, containers: Positions, places: list[tuple[int, str]]) -> Positions:
        """Look at the items of one depth, given the columns of their objects and lists; return those of the next."""
        view, columns = self._tape.view, self._columns
        inside = containers[items.container]
        own = np.full(len(inside), _LEFT)
        looked_at = inside >= 0
        listed = looked_at & (items.key < 0)
        own[listed] = columns.elements()[inside[listed]]
        keyed = np.flatnonzero(looked_at & (items.key >= 0))
        if len(keyed):
            self._fields(items.among(keyed), inside[keyed], keyed, own, places)
        begins = view[items.value]
        there = (own >= 0) & (begins != _NULL)
        kinds = np.where(own >= 0, own, 0)
        flawed = items.value[there & columns.having("object")[kinds] & (begins != _OBJECT)]
        if len(flawed):
            raise FlawedRecord(self._line(int(flawed[0])), "no object", 0)
        other = np.flatnonzero(there & columns.having("text")[kinds] & (begins != _QUOTE))
        if len(other):
            self._quoted.append((items.value[other], skip_blanks_back(view, items.end[other])))
        own[columns.having("list")[kinds] & (begins != _LIST) & (own >= 0)] = _LEFT
        own[(own >= 0) & (columns.having("text") | columns.having("other"))[kinds]] = _LEFT
        found: Positions = own[(begins == _OBJECT) | (begins == _LIST)]
        return found

    def _fields(
        self,
        items: Items,
        inside: Positions,
        at: Positions,
        own: Positions,
        places: list[tuple[int, str]],
    ) -> None:
        """Find the columns of keys, into `own` at `at`, and take out keys that are no columns or come twice."""
        numbers, texts = self._tape.keys(items)
        names = [json.loads(f'"{text}"') for text in texts]
        pairs = pa.array(inside * len(names) + numbers).dictionary_encode()
        different = (divmod(pair, len(names)) for pair in pairs.dictionary.to_pylist())
        columns = [self._columns.field(parent, names[name]) for parent, name in different]
        found = np.array(columns)[pairs.indices.to_numpy()]
        dropped = found == _DROPPED
        once = items.container * len(self._columns.kinds) + found
        twice = np.zeros(len(found), np.bool_)
        kept = np.flatnonzero(~dropped)
        if len(kept) and not (np.diff(once[kept]) > 0).all():
            order = kept[np.argsort(once[kept], kind="stable")]
            twice[order[1:]] = np.diff(once[order]) == 0
            dropped |= twice
            found[twice] = _DROPPED
        own[at] = found
        if dropped.any():
            self._drop(items, dropped)
            before, after = (np.searchsorted(self._keyed, part[dropped]) for part in (items.start, items.end))
            lost = after - before
            self.lost += int(lost.sum())
            if lost.any():
                number = np.flatnonzero(dropped)[np.flatnonzero(lost)[0]]
                path = (*self._columns.paths[inside[number]], names[numbers[number]])
                again = ", which comes twice" if twice[number] else ""
                places.append((int(items.key[number]), f"key {'.'.join(path)!r}{again}"))

    def _drop(self, items: Items, dropped: npt.NDArray[np.bool_]) -> None:
        """Take items out, with the comma before each, or the one after it if all items before it go too."""
        ranks = np.cumsum(~dropped)
        first = np.flatnonzero(~items.after_comma)
        before = np.concatenate(([0], ranks))[first]
        begins = np.cumsum(~items.after_comma) - 1
        leads = ranks - before[begins] - ~dropped == 0  # no item before it stays
        comma = items.after_comma & (dropped | leads)
        start = items.start - comma
        self._gone.append((start[dropped], items.end[dropped]))
        only = comma & ~dropped
        self._gone.append((start[only], items.start[only]))

    def _rewritten(self) -> bytes:
        view, tape = self._tape.view, self._tape
        stays = np.ones(len(view), np.bool_)
        for starts, ends in self._gone:
            stays[_within(starts, ends)] = False
        added: list[Positions] = []
        signs: list[npt.NDArray[np.uint8]] = []
        for starts, ends in self._quoted:
            added += (starts, ends)
            signs += (np.full(len(starts), _QUOTE, np.uint8), np.full(len(ends), _QUOTE, np.uint8))
            nested = (view[starts] == _OBJECT) | (view[starts] == _LIST)
            if nested.any():
                inner = _within(starts[nested], ends[nested])
                escaped = inner[(view[inner] == _QUOTE) | (view[inner] == _BACKSLASH)]
                added.append(escaped)
                signs.append(np.full(len(escaped), _BACKSLASH, np.uint8))
                blanks = inner[np.isin(view[inner], _BLANKS)]
                stays[blanks[~tape.in_strings(blanks)]] = False
        if added:
            at = np.concatenate(added)
            moved = at if stays.all() else np.cumsum(np.concatenate(([0], stays)))[at]
            return np.insert(view[stays], moved, np.concatenate(signs)).tobytes()
        return view[stays].tobytes()

    def _line(self, at: int) -> int:
        return self._block.count(b"\n", 0, at)


def _within(starts: Positions, ends: Positions) -> Positions:
    """Return the positions in ranges, ascending if these are; shape (n,), int64."""
    sizes = ends - starts
    offsets = np.cumsum(sizes) - sizes
    found: Positions = np.repeat(starts - offsets, sizes) + np.arange(sizes.sum())
    return found
