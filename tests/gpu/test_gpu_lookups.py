"""Rows on a GPU looked up in a table that is kept there: the rows that the CPU gives, and they stay on the GPU."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest
from contexts import context
from effort import examples
from gpu.device_rows import as_it_came, computed, filtered, registered
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from strategies import cuts

from arrowstream import Pipeline, Source
from arrowstream.backends.registry import register_backend, unregister_backend
from arrowstream.core.batch import Batch
from arrowstream.gpu.backend import GpuBackend
from arrowstream.operators.join import TableJoin
from arrowstream.operators.joins.keys import JoinKeys
from arrowstream.operators.joins.tables import FrameTable

if TYPE_CHECKING:
    from arrowstream.gpu.device import Device


HOWS = ["inner", "left", "semi", "anti"]

TABLE = pl.DataFrame(
    {
        "k": [5, None, 1, -3, 7],
        "name": ["five", "none", None, "minus three", "seven"],
        "day": [date(2026, 5, 1), None, date(1969, 12, 31), None, date(1970, 1, 1)],
        "x": [5.5, 0.0, -0.0, float("nan"), 7.5],
    },
    schema={"k": pl.Int64, "name": pl.String, "day": pl.Date, "x": pl.Float64},
)


def rows(count: int, seed: int = 0) -> pl.DataFrame:
    """Rows of which some are in `TABLE`, some are not, and some have no key."""
    random = np.random.default_rng(seed)
    keys = [None if key == 9 else int(key) for key in random.integers(-4, 10, count)]
    return pl.DataFrame({"k": keys, "x": random.random(count)}, schema={"k": pl.Int64, "x": pl.Float64})


@pytest.fixture
def device(backend: GpuBackend) -> Device:
    """The fake device of the backend, whose form of rows is registered."""
    return registered(backend)


def join(table: pl.DataFrame, how: Any = "inner", on: Any = "k", nulls_equal: bool = False) -> TableJoin:
    return TableJoin(FrameTable(table), JoinKeys.of(on, None, None, nulls_equal), how)


def joined(operator: TableJoin, batches: Iterable[Batch]) -> list[Batch]:
    """What a join gives for batches."""
    batches = list(batches)

    async def run() -> list[Batch]:
        schema = batches[0].polars().schema if not batches[0].has("gpu") else _schema(batches[0])
        process = operator.start(schema, context())
        await process.load()
        await process.open()
        out = [each for batch in batches for each in await process.process(batch)]
        await process.close()
        return [each for each in out if isinstance(each, Batch)]

    return asyncio.run(run())


def _schema(batch: Batch) -> pl.Schema:
    return pl.DataFrame(pl.from_arrow(batch.form("gpu").schema.empty_table())).schema


def frames(batches: Iterable[Batch]) -> pl.DataFrame:
    return pl.concat([batch.polars() for batch in batches])


@pytest.mark.parametrize("how", HOWS)
def test_a_join_gives_the_same_of_rows_on_the_device_and_leaves_them_there(
    machine: Any, device: Device, how: Any
) -> None:
    parts = [rows(40), rows(30, seed=1)]
    batches = [computed(part, device) for part in parts]
    uploads = len(machine.log.uploads)
    found = joined(join(TABLE, how), batches)
    assert all(batch.has("gpu") and not batch.has("arrow") for batch in found)
    # The table went up once: its keys, and its values if any come out.
    brought = [upload.columns for upload in machine.log.uploads[uploads:] if upload.columns != ("",)]
    assert brought == [("k",)] if how in ("semi", "anti") else [("name", "day", "x_right"), ("k",)]
    assert machine.log.downloads == []
    whole = pl.concat(parts)
    assert_frame_equal(frames(found), whole.join(TABLE, on="k", how=how, maintain_order="left"))
    assert_frame_equal(frames(found), frames(joined(join(TABLE, how), map(Batch, parts))))


@pytest.mark.parametrize("how", HOWS)
def test_keys_of_several_columns(device: Device, how: Any) -> None:
    table = pl.DataFrame(
        {"a": ["x", "y", "x", None], "b": [True, False, False, True], "v": [1, 2, 3, 4]},
        schema_overrides={"v": pl.Int8},
    )
    frame = pl.DataFrame({"b": [True, True, False, None, False, True], "a": ["x", "y", "x", "x", "", None]})
    found = joined(join(table, how, ["a", "b"]), [computed(frame, device)])
    assert found[0].has("gpu")
    assert_frame_equal(frames(found), frame.join(table, on=["a", "b"], how=how, maintain_order="left"))


def test_keys_of_a_narrower_type_are_widened(device: Device) -> None:
    frame, table = rows(20), TABLE.cast({"k": pl.Int8})
    found = joined(join(table), [computed(frame, device)])
    assert found[0].has("gpu")
    assert_frame_equal(frames(found), frames(joined(join(table), [Batch(frame)])))


def test_a_table_of_keys_adds_nothing(device: Device) -> None:
    frame = rows(20)
    for how in ("inner", "left"):
        found = joined(join(TABLE.select("k"), how), [computed(frame, device)])
        assert found[0].has("gpu")
        assert_frame_equal(
            frames(found), frame.join(TABLE.select("k"), on="k", how=how, maintain_order="left")
        )


@pytest.mark.parametrize(
    ("table", "frame", "options"),
    [
        pytest.param(pl.concat([TABLE, TABLE]), rows(20), {}, id="keys that come twice"),
        pytest.param(TABLE, rows(20), {"nulls_equal": True}, id="null equals null"),
        pytest.param(TABLE, rows(20), {"on": "x"}, id="float keys"),
        pytest.param(TABLE, rows(20).cast({"k": pl.Int8}), {}, id="keys of a wider type"),
        pytest.param(TABLE.clear(), rows(20), {}, id="no rows in the table"),
        pytest.param(
            TABLE.with_columns(v=pl.lit([1])), rows(20), {}, id="values of a type that it does not have"
        ),
        pytest.param(TABLE.filter(pl.col("k").is_null()), rows(20), {}, id="null keys only"),
    ],
)
def test_what_the_device_does_not_look_up_the_cpu_does(
    device: Device, table: pl.DataFrame, frame: pl.DataFrame, options: dict[str, Any]
) -> None:
    operator = join(table, "left", **options)
    found = joined(operator, [computed(frame, device)])
    assert not found[0].has("gpu")
    assert_frame_equal(frames(found), frames(joined(operator, [Batch(frame)])))


def test_rows_that_are_in_host_memory_are_looked_up_there(device: Device) -> None:
    frame = rows(20)
    came = Batch(as_it_came(frame, device).with_resident(["k"]))
    brought_back = computed(frame, device)
    brought_back.polars()
    empty = computed(frame.clear(), device)
    found = joined(join(TABLE), [came, brought_back, empty])
    assert not any(batch.has("gpu") for batch in found)
    assert_frame_equal(frames(found), pl.concat([frame, frame]).join(TABLE, on="k", maintain_order="left"))


def test_keys_that_are_still_in_host_memory_are_brought(device: Device) -> None:
    """A step before has computed a column; the key was only passed on, and rows were filtered."""
    frame = rows(50)
    there = as_it_came(frame, device).with_resident(["x"])
    batch = Batch(filtered(there, frame.select(pl.col("x") > 0.5)))
    found = joined(join(TABLE, "left"), [batch])
    assert found[0].has("gpu")
    expected = frame.filter(pl.col("x") > 0.5).join(TABLE, on="k", how="left", maintain_order="left")
    assert_frame_equal(frames(found), expected)


@pytest.mark.parametrize("number", range(1, 14))
def test_without_memory_the_cpu_looks_rows_up(machine: Any, device: Device, number: int) -> None:
    parts = [rows(40), rows(40, seed=2)]
    batches = [computed(part, device) for part in parts]
    machine.fail_next(number)
    found = joined(join(TABLE, "left"), batches)
    machine.fail_next(0)
    assert_frame_equal(frames(found), pl.concat(parts).join(TABLE, on="k", how="left", maintain_order="left"))
    # A table that had no room is not tried again.
    if number <= 4:
        assert not any(batch.has("gpu") for batch in found)


def test_a_device_that_fails_three_times_looks_nothing_up(
    machine: Any, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*arguments: Any, **named: Any) -> None:
        raise RuntimeError("CUDA error: an illegal memory access")

    monkeypatch.setattr(machine.plc.search, "lower_bound", failing)
    parts = [rows(10, seed) for seed in range(5)]
    found = joined(join(TABLE), [computed(part, device) for part in parts])
    assert_frame_equal(frames(found), pl.concat(parts).join(TABLE, on="k", maintain_order="left"))
    assert device.breaker.is_open


def test_a_table_leaves_the_device_with_the_join(machine: Any, device: Device) -> None:
    batch = computed(rows(10), device)
    joined(join(TABLE), [batch])
    device.run(device.synchronize)
    held = machine.held
    joined(join(TABLE), [batch])
    device.run(device.synchronize)
    assert machine.held == held


def test_rows_stay_on_the_device_from_a_stage_through_the_join_to_groups(
    machine: Any, backend: GpuBackend, device: Device
) -> None:
    frame = rows(3_000, seed=3)
    doubled = (pl.col("k") * 2).alias("twice")
    register_backend(backend)
    try:
        built = (
            Pipeline.builder()
            .source(Source.from_frame(frame, batch_rows=1_000))
            .with_columns(doubled).backend("gpu")
            .join(TABLE.select("k", "name"), on="k", how="left")
            .reduce(pl.col("twice").sum(), pl.len(), by="name")
        )  # fmt: skip
        found = built.collect_sync()
        assert "takes rows where they are" in built.explain()
    finally:
        unregister_backend("gpu")
    expected = (
        frame.with_columns(doubled)
        .join(TABLE.select("k", "name"), on="k", how="left")
        .group_by("name", maintain_order=True)
        .agg(pl.col("twice").sum(), pl.len())
    )
    assert_frame_equal(found, expected)
    # Only groups came down.
    downloaded = {name for transfer in machine.log.downloads for name in transfer.columns}
    assert "__row__" in downloaded and not downloaded & {"k", "x", "twice"}


def test_before_other_steps_rows_leave_the_device(machine: Any, backend: GpuBackend) -> None:
    frame = rows(50)
    register_backend(backend)
    try:
        start = (
            Pipeline.builder().source(Source.from_frame(frame)).with_columns(pl.col("k") * 2).backend("gpu")
        )
        built = start.unique("k")
        assert_frame_equal(
            built.collect_sync(), frame.with_columns(pl.col("k") * 2).unique("k", maintain_order=True)
        )
        assert "next step" not in built.explain()
    finally:
        unregister_backend("gpu")


@pytest.mark.hypothesis
@settings(max_examples=examples(10), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_cut_gives_what_polars_gives_of_all_rows(data: st.DataObject, device: Device) -> None:
    frame = rows(data.draw(st.integers(1, 60)), data.draw(st.integers(0, 1_000)))
    table = TABLE.sample(data.draw(st.integers(0, 5)), seed=data.draw(st.integers(0, 9)), shuffle=True)
    how = data.draw(st.sampled_from(HOWS))
    batches = [
        computed(part, device) if data.draw(st.booleans()) else Batch(part) for part in data.draw(cuts(frame))
    ]
    found = frames(joined(join(table, how), batches))
    assert_frame_equal(found, frame.join(table, on="k", how=how, maintain_order="left"))


@pytest.mark.parametrize("how", HOWS)
def test_rows_that_the_device_cannot_give_back_are_looked_up_by_the_cpu(
    machine: Any, device: Device, monkeypatch: pytest.MonkeyPatch, how: Any
) -> None:
    def fails(*arguments: Any, **options: Any) -> Any:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    part = rows(40)
    found = joined(join(TABLE, how), [computed(part, device)])
    assert found[0].has("gpu")
    monkeypatch.setattr(machine.plc.Table, "to_arrow", fails)
    assert_frame_equal(frames(found), part.join(TABLE, on="k", how=how, maintain_order="left"))
