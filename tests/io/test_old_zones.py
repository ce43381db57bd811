"""Times of zones whose offset had seconds, written as text and read back: the same moments, as Python reads them."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arrowstream import Pipeline, Sink, Source
from arrowstream.io.files.text.old_zones import with_whole_minutes

CHANGES = {
    "Asia/Kolkata": -3_645_237_208,
    "Asia/Tokyo": -2_587_712_400,
    "Africa/Monrovia": 63_593_070,
    "America/New_York": -2_717_650_800,
    "Europe/Berlin": -2_422_054_408,
    "Europe/Dublin": -1_691_962_479,
    "Pacific/Chatham": -3_192_437_628,
    "Europe/Istanbul": -2_840_147_748,
}
"""Seconds at which the offset of a zone changed, from one of seconds."""


def zoned(seconds: list[int | None], zone: str, unit: Any = "us") -> pl.Series:
    ticks = pl.Series("t", seconds, pl.Int64) * {"ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    return ticks.cast(pl.Datetime(unit, "UTC")).dt.convert_time_zone(zone)


def moments(texts: list[str | None]) -> list[int | None]:
    return [None if text is None else round(datetime.fromisoformat(text).timestamp()) for text in texts]


@given(
    st.sampled_from(sorted(CHANGES)),
    st.lists(st.none() | st.integers(-90, 90) | st.integers(-(10**9), 10**9), min_size=1, max_size=8),
    st.sampled_from(["ms", "us", "ns"]),
)
def test_any_times_around_the_change_of_a_zone(zone: str, around: list[int | None], unit: str) -> None:
    seconds = [None if step is None else CHANGES[zone] + step for step in around]
    frame = with_whole_minutes(zoned(seconds, zone, unit).to_frame())
    assert moments(frame["t"].dt.to_string("%FT%T%:z").to_list()) == seconds
    lines = frame.write_ndjson().splitlines()
    assert moments([json.loads(line)["t"] for line in lines]) == seconds


@pytest.mark.parametrize("format", ["csv", "ndjson", "json", "parquet"])
def test_files_keep_the_moments(format: str, tmp_path: Path) -> None:
    frame = pl.DataFrame(
        [zoned([at - 40_000_000, at - 5, at + 5, None], zone).alias(zone) for zone, at in CHANGES.items()]
    )
    path = tmp_path / f"x.{format}"
    Pipeline.builder().source(Source.from_frame(frame, batch_rows=2)).sink(
        Sink.to_file(path)
    ).build().run_sync()
    assert Pipeline.builder().source(Source.from_file(path, schema=frame.schema)).collect_sync().equals(frame)


def test_times_inside_of_others_keep_their_moments(tmp_path: Path) -> None:
    at = CHANGES["Pacific/Chatham"]
    for around in ([-40_000_000, 10**9], [-5, 10**9]):
        times = zoned([at + step for step in around], "Pacific/Chatham")
        frame = times.to_frame().with_columns(n=pl.Series([1, 2])).with_columns(
            s=pl.struct("t", "n"),
            l=pl.concat_list("t", "t"),
            a=pl.concat_list("t", "t").list.to_array(2),
            deep=pl.concat_list(pl.struct(pl.struct("t").alias("q"), "n")),
        )  # fmt: skip
        path = tmp_path / "x.ndjson"
        Pipeline.builder().source(Source.from_frame(frame)).sink(Sink.to_file(path)).build().run_sync()
        for line, moment in zip(path.read_text().splitlines(), [at + step for step in around], strict=True):
            row = json.loads(line)
            texts = [row["t"], row["s"]["t"], *row["l"], *row["a"], row["deep"][0]["q"]["t"]]
            assert moments(texts) == [moment] * 7
            assert row["n"] == row["s"]["n"] == row["deep"][0]["n"]


def test_frames_without_old_times_are_not_touched() -> None:
    recent = zoned([63_593_070 + 86_400, None], "Africa/Monrovia").to_frame()
    frame = recent.with_columns(
        u=pl.col("t").dt.convert_time_zone("UTC").dt.offset_by("-200y"), l=pl.concat_list("t"), x=1
    )
    assert with_whole_minutes(frame) is frame
    assert with_whole_minutes(frame.clear()).equals(frame.clear())
