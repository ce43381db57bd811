"""A checkpoint folder seen from outside: its epochs, whether they are whole, and removing old ones."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from arrowstream.checkpoints.layout import complete_epochs, drop, locked, manifest_of, marker_of, pieces_in
from arrowstream.checkpoints.manifest import Manifest
from arrowstream.checkpoints.pieces import check_state, read_state
from arrowstream.core.snapshot_store import SourcePosition
from arrowstream.errors import CheckpointError
from arrowstream.state.snapshot import POSITION, kind_of


@dataclass(frozen=True, slots=True)
class Epoch:
    """One epoch in a checkpoint folder.

    Parameters
    ----------
    number
        Its number.
    manifest
        Its manifest; None if that is damaged.
    committed
        True if every sink has committed it.
    damage
        What is wrong with its files; None if they are whole.
    positions
        The positions of the sources, by their state ids.
    """

    number: int
    manifest: Manifest | None
    committed: bool
    damage: str | None
    positions: Mapping[str, SourcePosition]


def epochs(path: Path) -> list[Epoch]:
    """Return the epochs in a folder, the oldest first, after a check of every file.

    A run may use the folder meanwhile: epochs that it drops during the check are left out.

    Raises
    ------
    CheckpointError
        There is no such folder, or it holds no checkpoints.
    """
    if not (path / "attempt").is_file():
        raise CheckpointError(
            f"{path} is not a checkpoint folder",
            expected="a folder that a run with checkpoint= has used",
            found="a folder without them"
            if path.is_dir()
            else "a file"
            if path.exists()
            else "nothing there",
        )
    while True:
        numbers = complete_epochs(path)[::-1]
        # The newest one first, which stays longest.
        found = [epoch for number in numbers if (epoch := _epoch(path, number)) is not None]
        if found or not numbers:
            return found[::-1]


def remove_before(path: Path, epoch: int) -> list[int]:
    """Remove all complete epochs before this one but the newest of all; return their numbers.

    Raises
    ------
    CheckpointError
        A run uses the folder.
    """
    handle = locked(path)
    try:
        old = [number for number in complete_epochs(path)[:-1] if number < epoch]
        drop(path, old)
        return old
    finally:
        os.close(handle)


def _epoch(path: Path, number: int) -> Epoch | None:
    """Return an epoch after a check of its files; None if a run has dropped it, whose manifest goes first."""
    epoch = _checked(path, number)
    return epoch if manifest_of(path, number).exists() else None


def _checked(path: Path, number: int) -> Epoch | None:
    committed = marker_of(path, number).exists()
    try:
        manifest = Manifest.decode(manifest_of(path, number).read_bytes())
    except FileNotFoundError:
        return None
    except CheckpointError as error:
        return Epoch(number, None, committed, str(error), {})
    positions: dict[str, SourcePosition] = {}
    try:
        for id, state in manifest.states.items():
            check_state(pieces_in(path), state, id)
            batches = read_state(pieces_in(path), state, id)
            first = next(batches, None)
            if first is not None and kind_of(first.schema) == POSITION.kind:
                positions[id] = POSITION.read(iter((first,)))[0]["position"]
    except CheckpointError as error:
        return Epoch(number, manifest, committed, str(error), positions)
    return Epoch(number, manifest, committed, None, positions)
