"""Integers of variable length: zigzag and LEB128, in plain functions that compiled ones call."""

from __future__ import annotations

from typing import Final

import numpy as np

from arrowstream.io.kafka.records.instructions import Array, Integer

FAILED: Final = -1
"""The position after a number that does not end within its limits."""


def read_varint(data: Array, at: Integer, end: Integer) -> tuple[Integer, Integer]:
    """Read an integer of at most 5 bytes.

    Parameters
    ----------
    data
        The bytes.
    at
        Position of its first byte.
    end
        Position after the last byte that may be read.

    Returns
    -------
    tuple
        The integer, of up to 35 bits, and the position after it, or `FAILED`.
    """
    bits = np.int64(0)
    shift = np.int64(0)
    while at < end and shift < 35:
        byte = np.int64(data[at])
        at += 1
        bits |= (byte & 127) << shift
        if byte < 128:
            return (bits >> 1) ^ -(bits & 1), at
        shift += 7
    return np.int64(0), FAILED


def read_varlong(data: Array, at: Integer, end: Integer) -> tuple[Integer, Integer]:
    """Read an integer of at most 10 bytes, which has 64 bits; else as `read_varint`."""
    bits = np.int64(0)
    shift = np.int64(0)
    while at < end and shift < 70:
        byte = np.int64(data[at])
        at += 1
        bits |= (byte & 127) << shift
        if byte < 128:
            return ((bits >> 1) & 0x7FFFFFFFFFFFFFFF) ^ -(bits & 1), at
        shift += 7
    return np.int64(0), FAILED


def varint_size(number: Integer) -> Integer:
    """Return the bytes of an integer of 64 bits."""
    left = zigzag(number)
    size = 1
    while left > np.uint64(127):
        left >>= np.uint64(7)
        size += 1
    return size


def write_varint(number: Integer, to: Array, at: Integer) -> Integer:
    """Write an integer of 64 bits to `to` at `at`; return the position after it."""
    left = zigzag(number)
    while left > np.uint64(127):
        to[at] = np.uint8(left & np.uint64(127) | np.uint64(128))
        left >>= np.uint64(7)
        at += 1
    to[at] = np.uint8(left)
    return at + 1


def zigzag(number: Integer) -> Integer:
    """Return an integer of 64 bits without its sign, uint64: small ones of either sign are small."""
    number = np.int64(number)
    return np.uint64((number << 1) ^ (number >> 63))
