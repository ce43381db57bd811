"""Rows on the fake device of a test."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import polars as pl

from arrowstream.core.batch import Batch

# Imported in the functions: where the CUDA packages are missing, tests are collected, and skipped.
if TYPE_CHECKING:
    from arrowstream.gpu.backend import GpuBackend
    from arrowstream.gpu.device import Device
    from arrowstream.gpu.rows import DeviceRows


def registered(backend: GpuBackend) -> Device:
    """Register the form of rows of a backend's device; return the device."""
    from arrowstream.gpu.form import register

    register("gpu", backend._device)
    return backend._device()


def as_it_came(frame: pl.DataFrame, device: Device) -> DeviceRows:
    """Rows that are in host memory, of which nothing is on the device yet."""
    from arrowstream.gpu.rows import DeviceRows

    return DeviceRows.of(Batch(frame).arrow(), device)


def computed(frame: pl.DataFrame, device: Device) -> Batch:
    """Rows whose columns a stage has computed on the device: none of them is in host memory."""
    there = as_it_came(frame, device).with_resident(frame.columns)
    made = replace(there, host=there.host.slice(0, 0), unchanged={}, steps=(lambda _: Batch(frame),))
    return Batch(made)


def filtered(rows: DeviceRows, kept: pl.DataFrame) -> DeviceRows:
    """The rows for which the only column of `kept` is true."""
    mask = rows.device.upload(Batch(kept).arrow()).columns()[0]
    return rows.device.run(lambda: rows.filtered(mask))
