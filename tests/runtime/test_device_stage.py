"""Stages that a device may run: one upload and one download a residence, small batches joined, no row lost."""

from collections.abc import Iterator

import polars as pl
import pytest
from devices import LOG, device

from arrowstream import Pipeline, Source
from arrowstream.pipeline import Builder

FRAME = pl.DataFrame({"x": range(3_000), "y": [0.5] * 3_000})
EXPECTED = (
    FRAME.with_columns(z=pl.col("x") + 1).filter(pl.col("z") % 2 == 0).with_columns(w=pl.col("z") * 2.0)
)


@pytest.fixture(autouse=True)
def log() -> Iterator[list[tuple[str, int]]]:
    with device() as entries:
        yield entries


def start(batch_rows: int = 1_000) -> Builder:
    return Pipeline.builder().source(Source.from_frame(FRAME, batch_rows=batch_rows))


def three(builder: Builder, *pins: str) -> Builder:
    """Three stages, each with a pin."""
    first, second, third = pins
    return (
        builder.with_columns(z=pl.col("x") + 1)
        .backend(first)
        .filter(pl.col("z") % 2 == 0)
        .backend(second)
        .with_columns(w=pl.col("z") * 2.0)
        .backend(third)
    )


def crossings(log: list[tuple[str, int]]) -> list[str]:
    return [kind for kind, _ in log]


def test_neighbours_on_the_device_take_one_upload_and_one_download() -> None:
    steps = three(start(), "device", "device", "device").named("last")
    assert steps.collect_sync().equals(EXPECTED)
    print(steps.explain())
    print(LOG)
