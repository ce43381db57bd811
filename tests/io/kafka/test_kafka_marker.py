"""The newest epoch of a sink, as servers answer it."""

from collections.abc import Iterator
from io import BytesIO
from typing import Any

import pytest
from aiokafka.errors import GroupAuthorizationFailedError, NotCoordinatorError
from kafka_readers import in_loop

from arrowstream.io.kafka.writing import marker

pytestmark = pytest.mark.once


class Client:
    """A client of servers that give one answer after another."""

    def __init__(self, *answers: Any) -> None:
        self._answers: Iterator[Any] = iter(answers)

    async def coordinator_lookup(self, kind: object, group: str) -> int:
        assert group == "g"
        return 1

    async def send(self, node: int, request: Any) -> Any:
        assert node == 1
        built = request.prepare({9: (1, 10)})
        assert (built.API_VERSION, built.encode()) == (7, b"\2g\0\1\0"), "all offsets, once they are stable"
        answer = next(self._answers)
        if isinstance(answer, Exception):
            raise answer
        return answer


def answer(*offsets: int, code: int = 0, codes: tuple[int, ...] = ()) -> Any:
    """An answer with the offsets of one partition each, which was sent and received."""
    codes = codes or (0,) * len(offsets)
    topics = [
        (f"t{number}", [(0, offset, -1, "", code, {})], {})
        for number, (offset, code) in enumerate(zip(offsets, codes, strict=True))
    ]
    sent = marker._Offsets(0, topics, code, {}).encode()
    return marker._Offsets.decode(BytesIO(sent))


@in_loop
async def test_the_newest_offset_of_any_topic() -> None:
    assert await marker.newest_epoch(Client(answer()), "g") == 0
    assert await marker.newest_epoch(Client(answer(3, 12, -1)), "g") == 12


@in_loop
async def test_what_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(marker, "_PAUSE_SECONDS", 0)
    client = Client(NotCoordinatorError(), answer(4, -1, codes=(0, 88)), answer(code=16), answer(4, 5))
    assert await marker.newest_epoch(client, "g") == 5
    with pytest.raises(GroupAuthorizationFailedError):
        await marker.newest_epoch(Client(answer(code=30)), "g")
