"""Damaged messages are read as strict readers read them, or refused; `make broken-messages` tries many of them."""

from collections.abc import Sequence

import pytest

from tools.broken_files.judges import Row
from tools.broken_messages import child
from tools.broken_messages.__main__ import GOOD
from tools.broken_messages.kind import verdict
from tools.broken_messages.kinds import KINDS, NAMES, make, shown, tried
from tools.broken_messages.tcp_streams import STREAMS


def verdicts(kind: str, numbers: range) -> dict[int, str]:
    return {number: verdict(KINDS[kind], make(kind, number, 7), lambda step: None)[0] for number in numbers}


@pytest.mark.untraced
@pytest.mark.parametrize("kind", KINDS)
def test_some_damaged_messages_of_each_kind(kind: str) -> None:
    found = verdicts(kind, range(50))
    assert {number: what for number, what in found.items() if what not in GOOD} == {}
    assert {"same", "refused"} <= set(found.values())
    assert child.memory() > 0


@pytest.mark.untraced
@pytest.mark.parametrize("kind", STREAMS)
def test_some_damaged_streams_of_each_kind(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = {number: tried(kind, number, 7, lambda step: None)[0] for number in range(60)}
    assert {number: what for number, what in found.items() if what not in GOOD} == {}
    assert {"same", "refused"} <= set(found.values())
    divide = STREAMS[kind].framing().scan

    def short(framing: object, buffer: bytearray, start: int) -> str | None:
        return divide(buffer[:-1], start)

    monkeypatch.setattr(type(STREAMS[kind].framing()), "scan", short)
    assert "DIFFERENT" in {tried(kind, number, 7, lambda step: None)[0] for number in range(20)}


@pytest.mark.untraced
@pytest.mark.parametrize("kind", NAMES)
def test_all_kinds_are_tried_by_number(kind: str) -> None:
    steps: list[str] = []
    assert tried(kind, 3, 7, steps.append)[0] in GOOD
    assert steps[0] == "arrowstream"
    assert shown(kind, 3, 7) == shown(kind, 3, 7)


@pytest.mark.untraced
@pytest.mark.once
@pytest.mark.parametrize("kind", KINDS)
def test_a_decoder_that_loses_a_row_or_accepts_anything_is_noticed(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = verdicts(kind, range(40))
    honest = KINDS[kind].found

    def without_the_last_row(messages: Sequence[bytes]) -> list[Row]:
        return honest(messages)[:-1]

    monkeypatch.setattr(KINDS[kind], "found", without_the_last_row)
    after = verdicts(kind, range(40))
    assert "DIFFERENT" in {after[number] for number, what in before.items() if what == "same"}
    monkeypatch.setattr(KINDS[kind], "found", lambda messages: [])
    after = verdicts(kind, range(40))
    assert {after[number] for number, what in before.items() if what == "refused"} == {"DIFFERENT"}

    def fail(messages: Sequence[bytes]) -> list[Row]:
        raise ZeroDivisionError

    monkeypatch.setattr(KINDS[kind], "found", fail)
    assert set(verdicts(kind, range(2)).values()) == {"untyped error"}
