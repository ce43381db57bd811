"""Compiled functions: the same as plain ones, and never an error where machine code cannot be kept."""

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from arrowstream.errors import MissingExtra
from arrowstream.io import compiled as compiling
from arrowstream.io.compiled import Compiled, compiled, numba_module
from arrowstream.io.kafka.records.instructions import copy, crc_instruction, crc_of_8, first_bit, word_at
from arrowstream.io.messages.plain_json.lines import find_lines

pytestmark = pytest.mark.once

OCTETS = "Array(uint8, 1, 'C', readonly=True)"


def copied(data: Any, at: int, to: Any) -> None:
    copy(data, at, to, 1, len(to) - 1)


def crc_of_words(data: Any) -> Any:
    crc = np.uint64(0)
    for word in range(len(data) // 8):
        crc = crc_of_8(crc, data, 8 * word)
    return crc


def bits_of_words(data: Any, out: Any) -> None:
    for place in range(len(out)):
        out[place] = first_bit(word_at(data, place))


@pytest.fixture(params=["kept", "no folder can be written to"])
def keeping(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Any:
    if request.param == "kept":
        monkeypatch.setattr(numba_module().config, "CACHE_DIR", str(tmp_path))
        return lambda: list(tmp_path.rglob("*.nbi"))
    monkeypatch.setattr("numba.core.caching.CacheImpl._locator_classes", [])
    return lambda: []


def test_instructions_do_what_the_plain_functions_do(keeping: Callable[[], list[Any]]) -> None:
    data = np.arange(200, dtype=np.uint8)
    machine = Compiled(copied, f"void({OCTETS}, int64, uint8[::1])", (copy,))
    found = [np.zeros(100, np.uint8) for _ in range(2)]
    machine(data, 3, found[0])
    machine.py_func(data, 3, found[1])
    assert found[0].tolist() == found[1].tolist() == [0, *range(3, 102)]
    if keeping() and crc_instruction() is not None:
        machine = Compiled(crc_of_words, f"uint64({OCTETS})", (crc_of_8,))
        assert machine(data) == machine.py_func(data)
        assert len(keeping()) == 2


def test_words_and_their_first_bits_are_those_of_the_plain_functions(
    keeping: Callable[[], list[Any]],
) -> None:
    data = np.frombuffer(b"\x00" * 7 + b"\x80" + b"\x06" + b"\xff" * 8, np.uint8)
    machine = Compiled(bits_of_words, f"void({OCTETS}, int64[::1])", (word_at, first_bit))
    assert not machine.is_ready
    found = [np.zeros(9, np.int64) for _ in range(2)]
    machine(data, found[0])
    assert machine.is_ready
    assert not machine.is_kept  # in the folder of this file
    machine.py_func(data, found[1])
    assert found[0].tolist() == found[1].tolist() == [63, 55, 47, 39, 31, 23, 15, 7, 1]


def test_code_that_is_loaded_lies_next_to_its_function() -> None:
    find_lines.load()
    assert find_lines.is_kept and find_lines.is_ready


@pytest.mark.untraced
def test_a_changed_constant_or_helper_is_another_file() -> None:
    def helper(number: int) -> int:
        return number + 1

    def other(number: int) -> int:
        return number + 2

    names = set()
    for used in (helper, other, other):
        instance = Compiled(copied, f"void({OCTETS}, int64, uint8[::1])", (copy, used))
        compiling._register(copy)
        instance.compile(numba_module())
        names.add(copied.__qualname__)
    assert len(names) == 2


def test_without_numba_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numba", None)
    function = compiled(f"uint64({OCTETS})")(crc_of_words)
    with pytest.raises(MissingExtra, match="reading and writing messages needs numba") as failed:
        function(np.zeros(8, np.uint8))
    assert failed.value.hint == "it comes with the extra 'kafka': pip install 'arrowstream[kafka]'"
    with pytest.raises(MissingExtra, match="reading Avro messages needs numba, which is not installed"):
        numba_module("reading Avro messages")
