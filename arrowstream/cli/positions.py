"""Positions of sources in plain words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from arrowstream.core.plural import counted
from arrowstream.core.snapshot_store import JsonValue, SourcePosition
from arrowstream.io.files.reading.progress import ReadProgress
from arrowstream.io.kafka.partition_name import Partition, offsets_of, partition_of


def readable(position: SourcePosition) -> dict[str, JsonValue]:
    """Return a position as JSON that a person can read: files that have been read are packed in the saved one."""
    if "done" not in position:
        return dict(position)
    files = ReadProgress((), position)
    start = files.start
    return {
        "version": position["version"],
        "files_read": len(files.done),
        "newest_file": None if files.done.newest is None else files.done.newest.path,
        "reading": [file.path for file in start.files],
        "row": start.row,
        "rows": start.rows,
    }


def described(position: SourcePosition) -> str:
    """Return a position in one line."""
    found: dict[str, Any] = readable(position)
    if isinstance(offsets := found.get("offsets"), dict) and all(map(partition_of, offsets)):
        return _offsets(offsets_of(position))
    if "files_read" not in found:
        return json.dumps(found)
    newest = "" if found["newest_file"] is None else f", newest {found['newest_file']}"
    text = f"{counted(found['files_read'], 'files')} read{newest}"
    if not found["reading"]:
        return text
    first, *others = found["reading"]
    row, rows = found["row"], found["rows"]
    if not others and not (row and rows):
        return f"{text}; {first} at row {row + rows:,}"
    after = f" after row {row:,}" if row else ""
    more = f" and {counted(len(others), 'files')} next to it" if others else ""
    return f"{text}; {counted(rows, 'rows')}{after} of {first}{more}"


def _offsets(offsets: Mapping[Partition, int]) -> str:
    """Return the next offset of each partition, by topic."""
    if not offsets:
        return "no partitions yet"
    topics: dict[str, list[str]] = {}
    for (topic, number), offset in sorted(offsets.items()):
        topics.setdefault(topic, []).append(f"partition {number} offset {offset:,}")
    return "; ".join(f"topic {topic}: {', '.join(found)}" for topic, found in topics.items())
