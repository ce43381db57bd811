"""CRC-32C by the processor's instruction, and without it."""

from typing import Any

import numpy as np
import pytest
from aiokafka.record.util import calc_crc32c

from arrowstream.io.kafka.records import checksum as checksums
from arrowstream.io.kafka.records import instructions
from arrowstream.io.kafka.records.checksum import append_crc, checksum, has_instruction, zeros_table
from arrowstream.io.kafka.records.instructions import crc_instruction, crc_of_1

pytestmark = pytest.mark.once


@pytest.fixture
def fresh() -> Any:
    """What was found out about the processor is found out again, before and after."""
    for function in (has_instruction, crc_instruction):
        function.cache_clear()
    yield
    for function in (has_instruction, crc_instruction):
        function.cache_clear()


def test_a_checksum_is_that_of_aiokafka(monkeypatch: pytest.MonkeyPatch, fresh: None) -> None:
    data = np.random.default_rng(0).integers(0, 256, 5000, dtype=np.uint8).tobytes()
    assert checksum(b"123456789") == checksum(b"1234", memoryview(b"56789")) == 0xE3069283
    for size in (0, 1, 7, 8, 1535, 1536, 1537, 5000):
        wanted = calc_crc32c(data[:size])
        assert checksum(data[:size]) == checksum(data[: size // 3], data[size // 3 : size]) == wanted
        assert int(append_crc.py_func(0, np.frombuffer(data[:size], np.uint8), zeros_table())) == wanted
    monkeypatch.setattr(checksums, "has_instruction", lambda: False)
    assert checksum(b"1234", b"56789") == 0xE3069283


def test_an_instruction_that_is_wrong_is_not_used(monkeypatch: pytest.MonkeyPatch, fresh: None) -> None:
    assert has_instruction() == (crc_instruction() is not None)
    for replaced, by in (
        ("crc_instruction", lambda: None),
        ("append_crc", lambda *arguments: 0),
        ("append_crc", lambda *arguments: 1 / 0),
    ):
        has_instruction.cache_clear()
        with monkeypatch.context() as patch:
            patch.setattr(checksums, "crc_instruction", lambda: ("llvm.x86.sse42.crc32.64.64", 64))
            patch.setattr(checksums, replaced, by)
            assert not has_instruction()


def test_a_processor_without_an_instruction_has_none(monkeypatch: pytest.MonkeyPatch, fresh: None) -> None:
    monkeypatch.setattr("llvmlite.binding.get_host_cpu_features", dict)
    assert crc_instruction() is None
    assert int(crc_of_1(np.uint64(0xFFFFFFFF), np.frombuffer(b"a", np.uint8), 0)) ^ 0xFFFFFFFF == 0xC1D04330
    assert instructions.crc_instruction() is None
