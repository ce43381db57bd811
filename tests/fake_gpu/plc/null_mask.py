"""Masks of nulls."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from pylibcudf.types import MaskState

from fake_gpu.calls import call
from fake_gpu.memory import Memory
from fake_gpu.plc.column import Column
from fake_gpu.plc.gpumemoryview import DeviceBuffer, packed, unpacked
from fake_gpu.values import Array, both, validity


def bitmask_allocation_size_bytes(number_of_bits: int) -> int:
    return -(-number_of_bits // 512) * 64


@call
def create_null_mask(
    size: int, state: MaskState = MaskState.UNINITIALIZED, stream: Any = None, mr: Any = None
) -> DeviceBuffer:
    if state == MaskState.UNALLOCATED:
        return mask_of(np.zeros(0, np.bool_), stream)
    # What is not initialised is anything: here, alternating.
    bits = (
        np.arange(size) % 2 == 0
        if state == MaskState.UNINITIALIZED
        else np.full(size, state == MaskState.ALL_VALID)
    )
    return mask_of(bits, stream)


@call
def copy_bitmask(col: Column, stream: Any = None, mr: Any = None) -> DeviceBuffer:
    valid = validity(col.array())
    return mask_of(np.zeros(0, np.bool_) if valid is None else valid, stream)


@call
def bitmask_and(columns: Sequence[Column], stream: Any = None, mr: Any = None) -> tuple[DeviceBuffer, int]:
    valid: Array | None = None
    for column in columns:
        valid = both(valid, validity(column.array()))
    if valid is None:
        return mask_of(np.zeros(0, np.bool_), stream), 0
    return mask_of(valid, stream), len(valid) - int(np.count_nonzero(valid))


@call
def bitmask_or(columns: Sequence[Column], stream: Any = None, mr: Any = None) -> tuple[DeviceBuffer, int]:
    masks = [validity(column.array()) for column in columns]
    if not masks or any(mask is None for mask in masks):
        return mask_of(np.zeros(0, np.bool_), stream), 0
    valid = np.logical_or.reduce(masks)
    return mask_of(valid, stream), len(valid) - int(np.count_nonzero(valid))


@call
def null_count(bitmask: Any, start: int, stop: int, stream: Any = None) -> int:
    """Read from the device: waits for the stream."""
    stream.queue.synchronize()
    return stop - start - int(np.count_nonzero(unpacked(bitmask, start, stop)))


def mask_of(valid: Array, stream: Any) -> DeviceBuffer:
    """Make a mask, true where a value is valid, of the newest work of a stream."""
    bits = packed(valid)
    return DeviceBuffer._of(Memory(stream.queue, bits.nbytes), bits)
