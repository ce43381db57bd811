"""One contract for all backends: Polars' rows and its errors, and no refusal of what a backend is known to offer."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import product
from typing import Literal

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from effort import THOROUGH, examples
from expression_cases import numbers, strings, temporal
from expression_cases.compared import assert_same, on_polars, segment_of
from expression_cases.numbers import Case
from gpu.random_expressions import SCHEMA, chains
from gpu.tried_backends import BACKENDS, Compute, OnGpu, TriedBackend, fake_gpu
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from strategies import corners, cuts, frames, make_series

from arrowstream.core.batch import to_record
from arrowstream.expressions.program import Program, Refusal
from arrowstream.operators.drop import Drop
from arrowstream.operators.filter import Filter
from arrowstream.operators.with_columns import WithColumns
from arrowstream.plan.lowering.lower import lower
from arrowstream.plan.segment import Segment

LAST_BIT = "last bit"
LOCAL_TIME = "local time"
NO_FORM = "no form on the GPU"

REFUSED_BY_GPU = {
    **dict.fromkeys(("exp", "log1p", "log", "sin", "cos", "tan", "arcsin", "arccos", "arctan"), LAST_BIT),
    **dict.fromkeys(("sinh", "cosh", "tanh"), LAST_BIT),
    "struct.field_by_name": "structs",
    "str.titlecase": "Unicode",
    "str.reverse": "Unicode",
    "str.count_matches": "regular expressions",
    "str.zfill": "after a sign",
    "str.split": "lists",
    "dt.time": "times of day",
    "dt.combine": "times of day",
    "dt.to_string": "writes dates",
}
"""The functions that the GPU refuses, whatever they are called with, and a piece of the reason."""

PARTLY_REFUSED_BY_GPU = {
    "pow": (10, LAST_BIT),
    "cast": (1, "large_binary"),
    "dt.truncate": (15, "calendar periods"),
    "dt.date": (2, LOCAL_TIME),
    "dt.replace_time_zone": (4, LOCAL_TIME),
    **dict.fromkeys(
        [f"dt.{part}" for part in ("year", "month", "day", "quarter", "week", "iso_year", "ordinal_day")]
        + ["dt.is_leap_year", "dt.century", "dt.millennium", "dt.days_in_month", "dt.week_day", "dt.hour"]
        + ["dt.minute", "dt.second", "dt.millisecond", "dt.microsecond", "dt.nanosecond"],
        (2, LOCAL_TIME),
    ),
}
"""Of other functions: how many cases, all of whose types the GPU holds, it refuses, and a piece of the reason."""

LEFT_TO_POLARS = ("cast", "str.uppercase", "str.lowercase", "str.normalize", "str.find", "dt.")
"""Functions, or the beginnings of their names, that the GPU may leave to Polars for the values in a batch."""

GONE_ROUND = (pl.Binary, pl.Time, pl.Decimal, pl.Null, pl.Struct)
"""Types that stay in host memory, so that nothing is computed of them on a GPU."""

ERRORS = (pl.exceptions.PolarsError, pl.exceptions.PanicException)

GROUPS: dict[str, list[Case]] = {}
for known in (
    *numbers.CASES,
    *(
        Case(function, expression, tuple(module.SCHEMA.values()))
        for module in (strings, temporal)
        for function, expressions in module.CASES.items()
        for expression in expressions
    ),
):
    GROUPS.setdefault(known.function, []).append(known)


@pytest.fixture(scope="module", params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> Iterator[TriedBackend]:
    if request.param is fake_gpu:
        request.getfixturevalue("packages")
    with request.param() as tried:
        yield tried


@cache
def whole_schema(function: str, types: tuple[pl.DataType, ...]) -> pl.Schema:
    """The columns over which a function has cases."""
    if function in strings.CASES:
        return strings.SCHEMA
    return temporal.SCHEMA if function in temporal.CASES else Case(function, pl.lit(0), types).schema


def schema_of(case: Case) -> pl.Schema:
    """The columns that a case reads."""
    names = case.expression.meta.root_names()
    whole = whole_schema(case.function, case.types)
    return pl.Schema({name: dtype for name, dtype in whole.items() if name in names})


def read_by(case: Case) -> list[pl.DataType]:
    """The types of the columns that a case reads."""
    return [schema_of(case)[name] for name in case.expression.meta.root_names()]


Rows = tuple[pl.DataFrame, pa.RecordBatch]
"""Rows as Polars has them, and the record of them, which may be a slice of a longer one."""


def plain(frame: pl.DataFrame) -> Rows:
    return frame, to_record(frame)


def narrowed(rows: Rows, case: Case) -> Rows:
    """The columns that a case reads."""
    names = schema_of(case).names()
    return rows[0].select(names), rows[1].select(names)


def rows_of(case: Case) -> list[Rows]:
    """The rows that a function is most likely to compute otherwise: of every kind, no rows, nulls only, a slice."""
    if case.function in temporal.CASES:
        found = special_times()
    elif case.function in strings.CASES:
        found = special_texts()
    else:
        found = special_numbers(case.types)
    return [narrowed(rows, case) for rows in found]


@cache
def special_times() -> list[Rows]:
    drawn = (temporal.SETTLED, temporal.OF_POLARS, temporal.FAR, [])
    return [*(temporal.made(rows, 0) for rows in drawn), temporal.made(temporal.SETTLED, 3)]


@cache
def special_texts() -> list[Rows]:
    others = [*reversed(strings.CORNERS[1:]), "x"]
    return forms(pl.DataFrame({"s": strings.CORNERS, "t": others}, schema=strings.SCHEMA))


@cache
def special_numbers(types: tuple[pl.DataType, ...]) -> list[Rows]:
    return forms(combinations(types))


def forms(frame: pl.DataFrame) -> list[Rows]:
    return [plain(frame), plain(frame.clear()), plain(frame.clear(3)), (frame[2:], to_record(frame).slice(2))]


def combinations(types: tuple[pl.DataType, ...]) -> pl.DataFrame:
    """Every pair of special values."""
    axes = [corners(dtype) for dtype in types]
    rows = product(*axes[:2], *(axis[-2:] for axis in axes[2:]))
    columns = zip(*rows, strict=True)
    return pl.DataFrame(
        [
            make_series(name, list(column), dtype)
            for name, column, dtype in zip("abc", columns, types, strict=False)
        ]
    )


def calm_rows(case: Case) -> Rows:
    """Values that no backend has a doubt about."""
    return narrowed(whole_calm_rows(case.function, case.types), case)


@cache
def whole_calm_rows(function: str, types: tuple[pl.DataType, ...]) -> Rows:
    if function in temporal.CASES:
        return temporal.made(temporal.CALM, 0)
    schema = whole_schema(function, types)
    if function in strings.CASES:
        return plain(pl.DataFrame({"s": ["ab", None, "", "a-b"], "t": ["b", "x", None, ""]}, schema=schema))
    frame = pl.DataFrame({name: [1, 2, 3, None] for name in schema})
    return plain(frame.select(_calm(name, dtype).alias(name) for name, dtype in schema.items()))


def _calm(name: str, dtype: pl.DataType) -> pl.Expr:
    column = pl.col(name)
    if dtype == pl.Null:
        return pl.lit(None)
    if dtype == pl.Boolean:
        return column == 2
    if isinstance(dtype, pl.Struct):
        return pl.struct(x=column, y=column.cast(pl.String)).cast(dtype)
    through = {pl.Date: pl.Int32, pl.Binary: pl.String}.get(dtype.base_type(), pl.Int64)
    return column.cast(through).cast(dtype)


def prepared(backend: TriedBackend, segment: Segment) -> Compute | Refusal:
    return backend.prepare(segment, lower(segment))


def assert_as_polars(
    backend: TriedBackend, case: Case, segment: Segment, compute: Compute, rows: Rows, certain: bool
) -> None:
    frame, record = rows
    try:
        expected = on_polars(segment, frame)
    except ERRORS as error:
        if backend.leaves_errors:
            assert compute(record).rows is None, f"{case} of {frame} raises {error}"
        else:
            with pytest.raises((pa.ArrowInvalid, *ERRORS)):
                compute(record)
        return
    found = compute(record).rows
    if found is None:
        assert not certain, f"{case} of {frame} was left to Polars"
        assert case.function.startswith(LEFT_TO_POLARS), f"{case} of {frame} was left to Polars"
    else:
        assert_same(found, expected, case.ulps)


@pytest.mark.parametrize("function", GROUPS)
def test_special_values_are_as_in_polars(backend: TriedBackend, function: str) -> None:
    # Polars is compared with itself: `make thorough` tries all cases, and what is usual shows with one.
    cases = GROUPS[function] if THOROUGH or backend.name != "polars" else GROUPS[function][:1]
    refused = []
    for case in cases:
        segment = segment_of(case.expression, schema_of(case))
        compute = prepared(backend, segment)
        if isinstance(compute, Refusal):
            refused.append((case, str(compute)))
            continue
        for rows in rows_of(case):
            assert_as_polars(backend, case, segment, compute, rows, certain=False)
        assert_as_polars(backend, case, segment, compute, calm_rows(case), certain=True)
    assert_refused_rightly(backend, function, refused)


def assert_refused_rightly(backend: TriedBackend, function: str, refused: list[tuple[Case, str]]) -> None:
    if not isinstance(backend, OnGpu):
        assert not refused
        return
    if function in REFUSED_BY_GPU:
        assert len(refused) == len(GROUPS[function])
        assert all(REFUSED_BY_GPU[function] in reason for _, reason in refused)
        return
    others = []
    for case, reason in refused:
        if any(isinstance(dtype, GONE_ROUND) for dtype in read_by(case)):
            assert NO_FORM in reason
        else:
            others.append((case, reason))
    count, piece = PARTLY_REFUSED_BY_GPU.get(function, (0, ""))
    assert len(others) == count, others
    assert all(piece in reason for _, reason in others), others


@pytest.mark.parametrize(
    ("dtype", "mode"),
    [
        (pl.Float32(), "half_to_even"),
        (pl.Float64(), "half_to_even"),
        (pl.Float64(), "half_away_from_zero"),
    ],
)
def test_values_of_every_size_are_rounded_alike(
    backend: TriedBackend, dtype: pl.DataType, mode: Literal["half_to_even", "half_away_from_zero"]
) -> None:
    """Also those too large to have decimals, or to be multiplied by a power of ten."""
    random = np.random.default_rng(0)
    values = random.normal(size=20_000) * 10.0 ** random.integers(-25, 300, 20_000)
    values[::2] = random.normal(size=10_000) * 10.0 ** random.integers(-3, 19, 10_000)
    halves = np.arange(-200, 200) / 200
    frame = pl.DataFrame({"a": pl.Series(np.concatenate([values, halves])).cast(dtype)})
    for digits in (1, 2, 5, 15, 22):
        case = Case("round", pl.col("a").round(digits, mode=mode), (dtype,))
        segment = segment_of(case.expression, frame.schema)
        compute = prepared(backend, segment)
        assert not isinstance(compute, Refusal), str(compute)
        assert_as_polars(backend, case, segment, compute, plain(frame), certain=True)


WIDE = pl.DataFrame(
    {
        "i": [3, None, -1, 2**62, 0],
        "x": [float("nan"), -0.0, None, float("-inf"), 2.5],
        "s": ["", "é", None, "a longer text that a view does not hold in itself", "a"],
        "zoned": pl.Series([0, -1, None, 1_700_000_000_000, 5]).cast(pl.Datetime("ms", "Europe/Amsterdam")),
        "colour": pl.Series(["red", None, "blue", "red", "green"], dtype=pl.Enum(["red", "green", "blue"])),
        "name": pl.Series(["x", "y", None, "x", "z"], dtype=pl.Categorical),
        "cents": pl.Series(["1.25", None, "-0.01", "0", "3"]).cast(pl.Decimal(12, 2)),
        "bytes": [b"\xff", None, b"", b"a", b"b"],
        "of_day": pl.Series([0, 1, None, 5, 86_399_999_999_999]).cast(pl.Time),
        "list": [[1], None, [], [None, 2], [3]],
        "record": [
            {"a": 1, "b": ["x"]},
            None,
            {"a": None, "b": None},
            {"a": 2, "b": []},
            {"a": 3, "b": ["y"]},
        ],
        "array": pl.Series([[1, 2], None, [3, None], [5, 6], [7, 8]], dtype=pl.Array(pl.Int64, 2)),
        "nothing": pl.Series([None] * 5, dtype=pl.Null),
    }
)
"""A column of every kind."""


def wide_frames() -> dict[str, pl.DataFrame]:
    """The rows of `WIDE` as they may arrive: whole, as a slice, in pieces, not at all, and null everywhere."""
    return {
        "whole": WIDE,
        "sliced": pl.concat([WIDE, WIDE], rechunk=True)[3:8],
        "pieces": pl.concat([WIDE[:2], WIDE[2:]], rechunk=False),
        "one row": WIDE[1:2],
        "empty": WIDE.clear(),
        "null": WIDE.clear(4),
    }


@pytest.mark.parametrize("kind", wide_frames())
def test_columns_of_every_kind_go_along(backend: TriedBackend, kind: str) -> None:
    """Whatever a backend holds in memory of its own, what it only passes on comes out as it came in."""
    frame = wide_frames()[kind]
    lazy = pl.LazyFrame(schema=WIDE.schema)
    steps = (
        WithColumns.of(more=pl.col("i") * 2, known=pl.col("s").is_not_null() & (pl.col("x") >= 0)),
        Filter.of((pl.col("i") != 0) | pl.col("known")),
        WithColumns.of(again=pl.col("more") - pl.col("i"), later=pl.col("zoned")),
    )
    for step in steps:
        lazy = step.apply(lazy)
    segment = Segment(steps, WIDE.schema, lazy.collect_schema())
    compute = prepared(backend, segment)
    assert not isinstance(compute, Refusal), str(compute)
    found = compute(to_record(frame)).rows
    assert found is not None
    assert_same(found, segment.apply_lazy(frame.lazy()).collect())


def test_frames_without_columns_keep_their_height(backend: TriedBackend) -> None:
    if not pl.DataFrame({"i": [1]}).drop("i").height:
        pytest.skip("frames of this version of Polars have no rows without columns")
    schema = pl.Schema({"i": pl.Int64()})
    steps = (Filter.of(pl.col("i") > 1), Drop.of("i"))
    segment = Segment(steps, schema, pl.Schema())
    compute = prepared(backend, segment)
    if isinstance(compute, Refusal):
        assert isinstance(backend, OnGpu)
        assert str(compute) == "rows without columns stay in host memory"
        return
    found = compute(to_record(pl.DataFrame({"i": [1, 2, 3]}))).rows
    assert found is not None
    assert (found.num_rows, found.num_columns) == (2, 0)


@pytest.mark.hypothesis
def test_any_values_are_as_in_polars(backend: TriedBackend) -> None:
    """Every function, over random values of the columns that it reads."""
    known = [case for cases in GROUPS.values() for case in cases]

    @settings(max_examples=examples(300))
    @given(st.data())
    def check(data: st.DataObject) -> None:
        case = data.draw(st.sampled_from(known))
        schema = schema_of(case)
        segment = segment_of(case.expression, schema)
        compute = prepared(backend, segment)
        if not isinstance(compute, Refusal):
            rows = plain(data.draw(frames(schema)))
            assert_as_polars(backend, case, segment, compute, rows, certain=False)

    check()


@pytest.mark.hypothesis
def test_any_chain_of_steps_over_any_cut_is_as_in_polars(backend: TriedBackend) -> None:
    @settings(max_examples=examples(40))
    @given(st.data())
    def check(data: st.DataObject) -> None:
        segment = data.draw(chains())
        program = lower(segment)
        assume(isinstance(program, Program))  # Polars 1 does not show all of its plans
        frame = data.draw(frames(SCHEMA))
        compute = backend.prepare(segment, program)
        assert not isinstance(compute, Refusal), str(compute)
        expected = segment.apply_lazy(frame.lazy()).collect()
        parts = []
        for part in data.draw(cuts(frame)):
            found = compute(to_record(part)).rows
            assert found is not None
            parts.append(found)
        together = pa.Table.from_batches(parts).combine_chunks().to_batches(max_chunksize=None)
        assert_same(together[0] if together else parts[0], expected)

    check()
