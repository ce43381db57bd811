"""Where a run keeps snapshots: the state of its steps and the positions of its sources, by epoch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol

import pyarrow as pa

from arrowstream.core.json_value import JsonValue
from arrowstream.errors import SourceError

SourcePosition = Mapping[str, JsonValue]
"""Where a reader is, as JSON: what a new reader needs to continue after the last element that was handed out.

Each source chooses the keys, and holds a version among them.
"""

Snapshot = Iterator[pa.RecordBatch]
"""The state of a step, or the position of a source, in pieces that are made as they are read."""


class SnapshotStore(Protocol):
    """Snapshots of one pipeline. Its methods block; the runtime calls them on worker threads."""

    def save(self, step_id: str, epoch: int, batches: Iterator[pa.RecordBatch]) -> None:
        """Keep what a step holds at the barrier of `epoch`; `batches` are made as they are taken."""
        ...

    def load(self, step_id: str) -> Iterator[pa.RecordBatch] | None:
        """What the step held at the last epoch that is complete, or None without one."""
        ...


def position_number(position: SourcePosition, key: str, version: int = 1) -> int:
    """A whole number of a source's position.

    Raises
    ------
    SourceError
        The position is of another version, or holds no such number.
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
