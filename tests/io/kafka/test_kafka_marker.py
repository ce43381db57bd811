"""The newest epoch of a sink, as servers answer it."""

import logging
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import GroupAuthorizationFailedError, NotCoordinatorError
from aiokafka.protocol.admin import ListGroupsRequest
from kafka_readers import in_loop

from arrowstream.core.checkpoints.context import CheckpointContext
from arrowstream.io.kafka.writing import marker
from arrowstream.io.kafka.writing.earlier_runs import earlier_runs
from arrowstream.io.kafka.writing.output_log import OutputLog
from arrowstream.io.kafka.writing.transaction import TransactionalLink

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


@in_loop
async def test_epochs_by_topic() -> None:
    assert await marker.stored_epochs(Client(answer(3, 12)), "g") == {"t0": 3, "t1": 12}
    assert await marker.stored_epochs(Client(answer()), "g") == {}


class Brokers:
    """Servers that list groups, of which the second may fail."""

    def __init__(self, first: list[str], second: list[str], code: int = 0) -> None:
        self.cluster = self
        self._answers = {1: (0, first), 2: (code, second)}

    def brokers(self) -> list[Any]:
        return [SimpleNamespace(nodeId=number) for number in self._answers]

    async def coordinator_lookup(self, kind: object, group: str) -> int:
        return 1

    async def send(self, node: int, request: Any) -> Any:
        if isinstance(request, ListGroupsRequest):
            code, groups = self._answers[node]
            return SimpleNamespace(error_code=code, groups=[(name, "") for name in groups])
        return answer(7, 2)


@in_loop
async def test_groups_of_all_servers() -> None:
    assert await marker.group_names(Brokers(["b", "a"], ["c", "b"])) == ["a", "b", "c"]
    with pytest.raises(GroupAuthorizationFailedError):
        await marker.group_names(Brokers(["a"], [], code=30))


@in_loop
async def test_epochs_of_the_same_job_are_noted(tmp_path: Path) -> None:
    checkpoint = CheckpointContext("my-job-11111111", 1, tmp_path, 0)
    own, same, others = "my-job-11111111", "my-job-2222222a", ("my-job", "job-22222222", "my-job-2222222x")
    for topic, count in (("t0", "7 epochs"), ("t1", "2 epochs"), (None, "7 epochs"), ("t2", None)):
        client = Brokers([f"{own}-sink-epoch", f"{same}-sink-epoch"], [f"{job}-sink-epoch" for job in others])
        notes = await earlier_runs(client, checkpoint, "sink", topic)
        assert [str(note).split(" of earlier")[0] for note in notes] == ([] if count is None else [count])
    only_others = Brokers([f"{same}-sink_2-epoch", same], [])
    assert await earlier_runs(only_others, checkpoint, "sink", None) == ()


@in_loop
async def test_servers_that_list_no_groups_are_no_failure(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    checkpoint = CheckpointContext("my-job-11111111", 1, tmp_path, 0)
    producing: Any = None
    link = TransactionalLink(producing, "sink", checkpoint, OutputLog(tmp_path), producing)
    link._producer = SimpleNamespace(client=Brokers([], [], code=30))
    with caplog.at_level(logging.WARNING, "arrowstream"):
        assert await link.earlier("t") == ()
    link._producer = None
    assert "sink: earlier runs of this job were not looked for: GroupAuthorizationFailedError" in caplog.text
