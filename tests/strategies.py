"""Frames to test with: every type that is carried, nulls everywhere, empty, sliced, and cut into batches."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from functools import cache
from itertools import pairwise
from typing import Any

import polars as pl
from hypothesis import strategies as st

SIGNED = (pl.Int8(), pl.Int16(), pl.Int32(), pl.Int64())
UNSIGNED = (pl.UInt8(), pl.UInt16(), pl.UInt32(), pl.UInt64())
INTEGERS = SIGNED + UNSIGNED
FLOATS = (pl.Float32(), pl.Float64())
NUMBERS = INTEGERS + FLOATS
DATETIMES = tuple(
    pl.Datetime(unit, zone) for unit in ("ms", "us", "ns") for zone in (None, "UTC", "Europe/Amsterdam")
)
DURATIONS = (pl.Duration("ms"), pl.Duration("us"), pl.Duration("ns"))
MOMENTS = (pl.Date(), pl.Time(), *DATETIMES, *DURATIONS)
PLAIN = (*NUMBERS, pl.Boolean(), pl.String(), pl.Binary(), *MOMENTS, pl.Decimal(12, 2))
CODED = (pl.Categorical(), pl.Enum(["red", "green", "blue"]))
NESTED = (
    pl.List(pl.Int64()),
    pl.List(pl.String()),
    pl.Struct({"x": pl.Int64(), "y": pl.String()}),
)
TYPES: tuple[pl.DataType, ...] = (*PLAIN, *CODED, *NESTED, pl.Null())
"""Every kind of type a pipeline carries."""

_PER_SECOND = {"ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
_SECONDS = 9_000_000_000  # from 1684 to 2255, which nanoseconds can hold, too
_DAYS = 100_000
_FLOATS = [0.0, -0.0, 1.0, -1.0, 0.5, 2.5, 127.9, -128.9, float("nan"), float("inf"), float("-inf"), 5e-324]
_FLOATS += [sign * 2.0**bits for bits in (7, 8, 15, 16, 31, 32, 63, 64, 127) for sign in (1, -1)]
_COLOURS = ["red", "green", "blue"]
_TEXTS = ["", "a", "B", "aa", " a ", "é", "ß", "1", "-1", "日本", "🦀", "a\nb"]


def corners(dtype: pl.DataType) -> list[Any]:
    """The values of a plain type where functions are most likely to differ; None is the last."""
    if dtype.is_integer():
        bits = int(str(dtype).lstrip("UInt"))
        low, high = (0, 2**bits - 1) if dtype in UNSIGNED else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
        near = {low, low + 1, high - 1, high, -2, -1, 0, 1, 2, 3}
        return [*sorted(value for value in near if low <= value <= high), None]
    if dtype.is_float():
        # What single precision cannot hold becomes what it rounds to.
        return [*pl.Series(_FLOATS).cast(dtype).to_list(), None]
    if isinstance(dtype, pl.Datetime | pl.Duration):
        bound = _SECONDS * _PER_SECOND[dtype.time_unit or "us"]
        return [-bound, -1, 0, 1, bound, None]
    simple: dict[Any, list[Any]] = {
        pl.Boolean: [False, True],
        pl.String: _TEXTS,
        pl.Binary: [b"", b"a", b"\xff", b"\x00"],
        pl.Date: [-_DAYS, -1, 0, 1, _DAYS],
        pl.Time: [0, 1, 24 * 3_600 * 10**9 - 1],
        pl.Decimal: [Decimal(cents).scaleb(-2) for cents in (-(10**9), -1, 0, 1, 10**9)],
    }
    return [*simple.get(dtype.base_type(), []), None]


@cache
def values(dtype: pl.DataType) -> st.SearchStrategy[Any]:
    """Python values of a type, its corners more often than chance would bring them; never None."""
    special = corners(dtype)[:-1]
    if dtype.is_integer():
        low, high = special[0], special[-1]
        return st.one_of(st.sampled_from(special), st.integers(max(low, -50), 50), st.integers(low, high))
    if dtype.is_float():
        width = 32 if dtype == pl.Float32 else 64
        ordinary = st.floats(-1_000, 1_000, width=width)
        return st.one_of(st.sampled_from(special), ordinary, st.floats(width=width))
    if isinstance(dtype, pl.Datetime | pl.Duration):
        return st.one_of(st.sampled_from(special), st.integers(special[0], special[-1]))
    if isinstance(dtype, pl.List):
        return st.lists(st.none() | values(_instance(dtype.inner)), max_size=3)
    if isinstance(dtype, pl.Struct):
        return st.fixed_dictionaries(
            {field.name: st.none() | values(_instance(field.dtype)) for field in dtype.fields}
        )
    if isinstance(dtype, pl.Enum):
        return st.sampled_from(dtype.categories.to_list())
    if isinstance(dtype, pl.Decimal):
        return st.integers(-(10**9), 10**9).map(lambda cents: Decimal(cents).scaleb(-2))
    simple: dict[Any, st.SearchStrategy[Any]] = {
        pl.Boolean: st.booleans(),
        pl.String: st.sampled_from(_TEXTS) | st.text(max_size=5),
        pl.Binary: st.binary(max_size=4),
        pl.Date: st.integers(-_DAYS, _DAYS),
        pl.Time: st.integers(0, 24 * 3_600 * 10**9 - 1),
        pl.Categorical: st.sampled_from(_COLOURS),
        pl.Null: st.none(),
    }
    return simple[dtype.base_type()]


def make_series(name: str, data: Sequence[Any], dtype: pl.DataType) -> pl.Series:
    """A series of values as `values` gives them: dates and times are integers."""
    if dtype.is_temporal():
        physical = pl.Int32 if dtype == pl.Date else pl.Int64
        return pl.Series(name, data, physical).cast(dtype)
    return pl.Series(name, data, dtype)


_BYTES = 10
"""Bytes that a value of a column is made from: what kind of value, and which."""


def column(draw: st.DrawFn, dtype: pl.DataType, rows: int) -> list[Any]:
    """Values as those of `values`, and None: of plain types in one draw of bytes, as each draw takes long."""
    if dtype.is_nested():
        return draw(_lists(dtype, rows))
    make = _maker(dtype)
    drawn = draw(st.binary(min_size=rows * _BYTES, max_size=rows * _BYTES))
    chunks = (drawn[start : start + _BYTES] for start in range(0, len(drawn), _BYTES))
    return [make(chunk[0], int.from_bytes(chunk[1:])) if chunk[0] & 3 else None for chunk in chunks]


@cache
def _lists(dtype: pl.DataType, rows: int) -> st.SearchStrategy[list[Any]]:
    return st.lists(st.none() | values(dtype), min_size=rows, max_size=rows)


@cache
def _maker(dtype: pl.DataType) -> Callable[[int, int], Any]:
    """What makes a value of a kind and a number: a corner, a common one, or any."""
    special = corners(dtype)[:-1]
    common, others = _common(dtype, special)

    def make(kind: int, number: int) -> Any:
        if special and kind & 3 == 1:
            return special[number % len(special)]
        return (common if kind & 3 == 2 else others)(number)

    return make


def _common(dtype: pl.DataType, special: list[Any]) -> tuple[Callable[[int], Any], Callable[[int], Any]]:
    """Common values, and any values."""
    if dtype.is_float():
        layout, size = ("<f", 4) if dtype == pl.Float32 else ("<d", 8)
        mask = 2 ** (8 * size) - 1

        def bits(number: int) -> float:
            value = struct.unpack(layout, (number & mask).to_bytes(size))[0]
            return value if value == value else float("nan")

        return lambda number: struct.unpack(layout, struct.pack(layout, number % 2_000_001 / 1_000 - 1_000))[
            0
        ], bits
    if isinstance(dtype, pl.Decimal):
        return (lambda number: _cents(number % 20_001 - 10_000)), lambda number: _cents(
            number % (2 * 10**9 + 1) - 10**9
        )
    if dtype.is_integer() or dtype.is_temporal():
        low, high = special[0], special[-1]
        near = min(high, 50) - max(low, -50) + 1
        return (lambda number: number % near + max(low, -50)), lambda number: number % (high - low + 1) + low
    if dtype in (pl.String, pl.Binary):
        make = _text if dtype == pl.String else _octets
        return make, make
    choice = {pl.Categorical: _COLOURS, pl.Null: [None]}.get(dtype.base_type()) or (
        dtype.categories.to_list() if isinstance(dtype, pl.Enum) else special
    )
    return (lambda number: choice[number % len(choice)]), lambda number: choice[number % len(choice)]


def _text(number: int) -> str:
    """Up to five characters, of ASCII more often than of other parts of Unicode."""
    number, length = divmod(number, 6)
    text = ""
    for _ in range(length):
        number = (number * 6_364_136_223_846_793_005 + 1_442_695_040_888_963_407) % 2**64
        end = (0x80, 0x80, 0x250, 0x11_0000)[number >> 62]
        code = (number >> 20) % end
        text += "\ufffd" if 0xD800 <= code < 0xE000 else chr(code)
    return text


def _octets(number: int) -> bytes:
    number, length = divmod(number, 5)
    return (number % 2**32).to_bytes(4)[:length]


def _cents(cents: int) -> Decimal:
    return Decimal(cents).scaleb(-2)


@st.composite
def frames(
    draw: st.DrawFn, schema: Mapping[str, pl.DataType] | None = None, max_rows: int = 12
) -> pl.DataFrame:
    """Frames of a schema, or of a few columns of any types; some empty, some slices of larger ones."""
    if schema is None:
        types = draw(st.lists(st.sampled_from(TYPES), min_size=1, max_size=5))
        schema = {f"c{place}": dtype for place, dtype in enumerate(types)}
    rows = draw(st.integers(0, max_rows))
    columns = {name: column(draw, _instance(dtype), rows) for name, dtype in schema.items()}
    frame = pl.DataFrame([make_series(name, columns[name], dtype) for name, dtype in schema.items()])
    start = draw(st.integers(0, min(3, rows)))
    return frame.slice(start, draw(st.integers(0, rows - start)) if start else None)


@st.composite
def cuts(draw: st.DrawFn, frame: pl.DataFrame, most: int = 4) -> list[pl.DataFrame]:
    """The same rows as some batches, of which some may be empty; together they give `frame` again."""
    inner = draw(st.lists(st.integers(0, frame.height), max_size=most))
    bounds = [0, *sorted(inner), frame.height]
    return [frame.slice(start, stop - start) for start, stop in pairwise(bounds)]


def _instance(dtype: Any) -> pl.DataType:
    return dtype if isinstance(dtype, pl.DataType) else dtype()
