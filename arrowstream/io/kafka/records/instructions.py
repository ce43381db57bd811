"""Single instructions of processors and the C library for compiled functions, and the same in plain Python."""

from __future__ import annotations

from functools import cache
from typing import Any, Final

import numpy as np

from arrowstream.io.compiled import built_by, numba_module

Array = Any
"""A numpy array, whose type the signature of the compiled function says."""

Integer = Any
"""An integer of 64 bits, signed or not: of numpy where the type decides what an operation gives."""

_INSTRUCTIONS: Final = {
    "sse4.2": ("llvm.x86.sse42.crc32.64.64", 64),
    "crc": ("llvm.aarch64.crc32cx", 32),
}
"""Instructions that add 8 bytes to a CRC-32C, and the bits of the sum that they take, by the processor's feature."""

_POLYNOMIAL: Final = 0x82F63B78


@cache
def crc_instruction() -> tuple[str, int] | None:
    """Return the instruction of this processor that adds 8 bytes to a CRC-32C, or None."""
    numba_module()
    from llvmlite import binding

    features = binding.get_host_cpu_features()
    return next((found for name, found in _INSTRUCTIONS.items() if features.get(name)), None)


def _memcpy(numba: Any) -> Any:
    from numba.core.cgutils import raw_memcpy

    copy_bytes: Any = raw_memcpy

    @numba.extending.intrinsic  # type: ignore[untyped-decorator]
    def memcpy(typing: Any, data: Any, at: Any, to: Any, start: Any, size: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            source, target = (
                context.make_array(signature.args[place])(context, builder, arguments[place]).data
                for place in (0, 2)
            )
            target = builder.gep(target, [arguments[3]])
            source = builder.gep(source, [arguments[1]])
            copy_bytes(builder, target, source, arguments[4], 1)
            return context.get_dummy_value()

        return numba.void(data, numba.int64, to, numba.int64, numba.int64), generate

    return lambda data, at, to, start, size: memcpy(data, at, to, start, size)


@built_by(_memcpy)
def copy(data: Array, at: Integer, to: Array, start: Integer, size: Integer) -> None:
    """Copy `size` bytes from `data` at `at` into `to` at `start`; nothing checks that they are there.

    A loop over the bytes takes 300 ns for 186 of them, a slice 100 ns, the C library 10 ns.
    """
    to[start : start + size] = data[at : at + size]


def _crc(numba: Any) -> Any:
    from llvmlite import ir

    name, bits = crc_instruction() or next(iter(_INSTRUCTIONS.values()))

    @numba.extending.intrinsic  # type: ignore[untyped-decorator]
    def instruction(typing: Any, crc: Any, data: Any, at: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            wide, narrow = ir.IntType(64), ir.IntType(bits)
            array = context.make_array(signature.args[1])(context, builder, arguments[1])
            place = builder.bitcast(builder.gep(array.data, [arguments[2]]), wide.as_pointer())
            function = builder.module.declare_intrinsic(name, (), ir.FunctionType(narrow, [narrow, wide]))
            crc = builder.trunc(arguments[0], narrow) if bits < 64 else arguments[0]
            found = builder.call(function, [crc, builder.load(place, align=1)])
            return builder.zext(found, wide) if bits < 64 else found

        return numba.uint64(numba.uint64, data, numba.int64), generate

    return lambda crc, data, at: instruction(crc, data, at)


@built_by(_crc)
def crc_of_8(crc: Integer, data: Array, at: Integer) -> Integer:
    """Return the CRC-32C `crc`, uint64 and not inverted, after the 8 bytes of `data` at `at`."""
    for place in range(at, at + 8):
        crc = crc_of_1(crc, data, place)
    return crc


def _word(numba: Any) -> Any:
    from llvmlite import ir

    @numba.extending.intrinsic  # type: ignore[untyped-decorator]
    def load(typing: Any, data: Any, at: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            array = context.make_array(signature.args[0])(context, builder, arguments[0])
            place = builder.gep(array.data, [arguments[1]])
            return builder.load(builder.bitcast(place, ir.IntType(64).as_pointer()), align=1)

        return numba.uint64(data, numba.int64), generate

    return lambda data, at: load(data, at)


@built_by(_word)
def word_at(data: Array, at: Integer) -> Integer:
    """Return the 8 bytes of `data` at `at`, the first one lowest, as uint64; nothing checks that they are there."""
    return np.uint64(int.from_bytes(data[at : at + 8].tobytes(), "little"))


def _first_bit(numba: Any) -> Any:
    @numba.extending.intrinsic  # type: ignore[untyped-decorator]
    def trailing_zeros(typing: Any, word: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.cttz(arguments[0], context.get_constant(numba.boolean, True))

        return numba.int64(numba.uint64), generate

    return lambda word: trailing_zeros(word)


@built_by(_first_bit)
def first_bit(word: Integer) -> Integer:
    """Return the place of the lowest bit that is set in an uint64 other than 0."""
    return np.int64((int(word) & -int(word)).bit_length() - 1)


def crc_of_1(crc: Integer, data: Array, at: Integer) -> Integer:
    """Return the CRC-32C `crc`, uint64 and not inverted, after one byte."""
    crc ^= np.uint64(data[at])
    for _ in range(8):
        crc = (crc >> np.uint64(1)) ^ (np.uint64(_POLYNOMIAL) * (crc & np.uint64(1)))
    return crc
