"""The store of snapshots: the state of steps and the positions of sources, by epoch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol, TypeAlias

import pyarrow as pa

from arrowstream.errors import SourceError

JsonValue: TypeAlias = "bool | int | float | str | Sequence[JsonValue] | Mapping[str, JsonValue] | None"
"""A JSON value, as sources and sinks store in a checkpoint."""

SourcePosition = Mapping[str, JsonValue]
"""Position of a reader, as JSON, from which a new reader continues after the last element that was read.

Each source chooses the keys; one of them is ``version``.
"""

Snapshot = Iterator[pa.RecordBatch]
"""The state of a step, or the position of a source, as batches that are made while they are read."""


class SnapshotStore(Protocol):
    """Snapshots of one pipeline. Its methods block; the runtime calls them on worker threads."""

    def save(self, state_id: str, epoch: int, batches: Iterator[pa.RecordBatch]) -> None:
        """Store the state of a step at the barrier of `epoch`; `batches` are made while they are read."""
        ...

    def finish(self, state_id: str) -> None:
        """Take note that a step has given out everything, as its input has ended."""
        ...

    def is_finished(self, state_id: str) -> bool:
        """Return whether a step had given out everything before the last complete epoch."""
        ...

    def state_ids(self) -> Iterable[str]:
        """Return the ids of the states of at least one batch at the last complete epoch."""
        ...

    def load(self, state_id: str) -> Iterator[pa.RecordBatch] | None:
        """Return the state of a step at the last complete epoch, or None if no epoch is complete."""
        ...


def position_number(position: SourcePosition, key: str, version: int = 1) -> int:
    """Return a whole number from a source's position.

    Raises
    ------
    SourceError
        The position has another version, or `key` is not a whole number in it.
    """
    found = position.get(key)
    if position.get("version") != version or not isinstance(found, int):
        raise SourceError(
            "the source cannot continue after this position",
            expected=f"version {version} with a number {key!r}",
            found=repr(dict(position)),
            hint="it is of another source or another version of arrowstream: run without the snapshots",
        )
    return found
