"""CRC-32C by the processor's own instruction: three lanes at a time, as a step of a lane waits for the one before."""

from __future__ import annotations

from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt

from arrowstream.io.compiled import compiled
from arrowstream.io.kafka.records.instructions import Array, Integer, crc_instruction, crc_of_1, crc_of_8

_LANE: Final = 512
"""Bytes of a lane. Shorter lanes are joined more often, longer ones leave more bytes to one lane."""

_CHECK: Final = (b"123456789", 0xE3069283)


def after_zeros(crc: Integer, table: Array) -> Integer:
    """Return the CRC after another lane of zeros; `table` is `zeros_table()`."""
    return (
        table[0, crc & np.uint64(255)]
        ^ table[1, (crc >> np.uint64(8)) & np.uint64(255)]
        ^ table[2, (crc >> np.uint64(16)) & np.uint64(255)]
        ^ table[3, crc >> np.uint64(24)]
    )


def crc32c(crc: Integer, data: Array, at: Integer, end: Integer, table: Array) -> Integer:
    """Return the CRC-32C `crc`, uint64, after the bytes from `at` to `end`."""
    crc ^= np.uint64(0xFFFFFFFF)
    while end - at >= 3 * _LANE:
        second: Integer = np.uint64(0)
        third: Integer = np.uint64(0)
        for _ in range(_LANE // 8):
            crc = crc_of_8(crc, data, at)
            second = crc_of_8(second, data, at + _LANE)
            third = crc_of_8(third, data, at + 2 * _LANE)
            at += 8
        at += 2 * _LANE
        crc = after_zeros(after_zeros(crc, table) ^ second, table) ^ third
    while end - at >= 8:
        crc = crc_of_8(crc, data, at)
        at += 8
    while at < end:
        crc = crc_of_1(crc, data, at)
        at += 1
    return crc ^ np.uint64(0xFFFFFFFF)


CRC_HELPERS: Final = (crc_of_8, crc_of_1, after_zeros, crc32c)
"""What compiled functions call that call `crc32c`."""


@compiled("uint64(uint64, Array(uint8, 1, 'C', readonly=True), uint64[:, ::1])", *CRC_HELPERS)
def append_crc(crc: int, data: Array, table: Array) -> Integer:
    """Return the CRC-32C `crc` after more bytes."""
    return crc32c(crc, data, 0, len(data), table)


@cache
def zeros_table() -> npt.NDArray[np.uint64]:
    """Return for each of the 4 bytes of a CRC and its 256 values what a lane of zeros makes of it."""
    crc: Integer = np.uint64(1) << np.arange(32, dtype=np.uint64)
    zeros = np.zeros(1, np.uint8)
    for _ in range(_LANE):
        crc = crc_of_1(crc, zeros, 0)
    table = np.zeros((4, 256), np.uint64)
    for bit in range(8):
        has_bit = np.arange(256) >> bit & 1 == 1
        table[:, has_bit] ^= crc.reshape(4, 8)[:, bit, None]
    return table


@cache
def has_instruction() -> bool:
    """Return whether this processor computes a CRC-32C, and right."""
    data, right = _CHECK
    if crc_instruction() is None:
        return False
    try:
        return int(append_crc(0, np.frombuffer(data, np.uint8), zeros_table())) == right
    except Exception:  # the instruction is of another processor
        return False


def checksum(*parts: bytes | memoryview) -> int:
    """Return the CRC-32C of bytes that follow each other."""
    if not has_instruction():
        from aiokafka.record.util import calc_crc32c

        return int(calc_crc32c(b"".join(parts)))
    crc = 0
    for part in parts:
        crc = int(append_crc(crc, np.frombuffer(part, np.uint8), zeros_table()))
    return crc
