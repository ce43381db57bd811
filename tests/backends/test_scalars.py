"""Scalars of Python values: as pyarrow's, but without pandas."""

from __future__ import annotations

import math
import os
import struct
import subprocess
import sys
from decimal import Decimal

import pyarrow as pa
import pytest

from arrowstream.backends.arrow.kernels.scalars import array, scalar

_INTEGERS = [pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()]
_TIMES = [
    pa.date32(),
    pa.timestamp("us"),
    pa.timestamp("ns", "Europe/Berlin"),
    pa.duration("ms"),
    pa.time32("s"),
    pa.time64("ns"),
]
_OTHERS = [
    pa.bool_(),
    pa.float16(),
    pa.float32(),
    pa.float64(),
    pa.string(),
    pa.large_string(),
    pa.string_view(),
    pa.binary(),
    pa.large_binary(),
    pa.decimal128(10, 2),
    pa.month_day_nano_interval(),
    pa.null(),
    pa.list_(pa.int8()),
    pa.large_list(pa.large_string()),
    pa.dictionary(pa.int32(), pa.string()),
    None,
]
_VALUES = [
    *(None, True, False, 0, 1, -1, 127, 128, 255, 256, -129, 2**24 + 1, 2**31, 2**53, 2**53 + 1),
    *(2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 2**64 - 1, 2**64, 10**30),
    *(0.0, -0.0, 1.5, 0.1, 3.4028235e38, 1e39, -1e39, math.inf, -math.inf),
    *("", "tea", "Tee\0ß🍵", "\ud800", b"", b"\xff\x00"),
    *(Decimal("1.25"), (1, None, 3), (), ("a", None), (1, "a")),
]


def _made(make: object, value: object, dtype: pa.DataType | None) -> object:
    """Return the type and the value, or that there is none."""
    try:
        found = make(value, dtype)  # type: ignore[operator]
    except (pa.ArrowException, OverflowError, TypeError, ValueError):
        return "refused"
    content = found.value if found.type in _TIMES and found.is_valid else found.as_py()
    return found.type, found.is_valid, struct.pack("d", content) if isinstance(content, float) else content


@pytest.mark.parametrize("dtype", [*_INTEGERS, *_TIMES, *_OTHERS], ids=str)
def test_a_scalar_is_that_of_pyarrow_or_refused_as_there(dtype: pa.DataType | None) -> None:
    for value in _VALUES:
        assert _made(scalar, value, dtype) == _made(pa.scalar, value, dtype), (value, dtype)


@pytest.mark.parametrize("dtype", [pa.float32(), pa.float64()], ids=str)
def test_not_a_number_stays_one(dtype: pa.DataType) -> None:
    found = scalar(math.nan, dtype)
    assert found.type == dtype
    assert math.isnan(found.as_py())


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([], pa.int8()),
        ([1, None, -3], pa.int8()),
        (["a", "", None], pa.large_string()),
        ([0.5], pa.float32()),
        ([*range(10_000), None], pa.int32()),
    ],
)
def test_an_array_is_that_of_pyarrow(values: list[object], dtype: pa.DataType) -> None:
    assert array(values, dtype).equals(pa.array(values, dtype))


_PIPELINES = """
import sys, datetime
import polars as pl, pyarrow as pa
from arrowstream import Pipeline, Sink, Source

asked = []

class Watch:
    def find_spec(self, name, path=None, target=None):
        if name == "pandas":
            asked.append(step)

at = datetime.datetime(2024, 1, 1, 12, 30)
rows = pl.DataFrame({"n": [1, 2, 3], "x": [0.5, None, 2.5], "text": ["a_b", "b", None], "at": [at] * 3})
n, x, text, time = (pl.col(name) for name in rows.columns)
steps = [
    *(n * 2, n % 3, n // 2, n**2, n.cast(pl.String), n.is_in([1, 2])),
    *(x / 2, x.fill_null(0), x.round(1), x.clip(0, 1), x.cast(pl.Int64), pl.when(n > 1).then(x).otherwise(0.0)),
    *(text.str.to_lowercase(), text.is_in(["a", "b"]), text.str.find("b", literal=True), text + "!"),
    *(text.str.replace_all("a", "b"), text.str.contains("a.b"), pl.concat_str(text, text, separator="-")),
    *(time.dt.hour(), time.dt.date(), time.dt.millennium(), time.dt.microsecond(), time.dt.strftime("%Y-%m")),
    *(time.dt.offset_by("1h"), time.dt.truncate("1h"), time.dt.month_end(), time > at),
    *(time + datetime.timedelta(hours=1), time.dt.replace_time_zone("UTC").dt.hour()),
]
sys.meta_path.insert(0, Watch())
ways = set()
for step in steps:
    pipeline = Pipeline.builder().source(Source.from_frame(rows)).select(y=step).sink(Sink.to_fn(print)).build()
    ways |= {way for stage in pipeline.run_sync().stages for way in stage.batches}
print("ways:", *ways)
print("pandas:", *asked)
"""


def test_pipelines_on_arrow_import_no_pandas() -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-c", _PIPELINES], env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    *_, ways, asked = done.stdout.splitlines()
    assert "arrow" in ways.split(), "no step has run on Arrow: this shows nothing"
    assert asked == "pandas:"
