"""A folder of part files that grows from epoch to epoch.

::

    .out.5d0c9a4e11f2.epoch                next to the folder: a `FileMarker`
    .out.5d0c9a4e11f2.epochs/              next to the folder, or in it if that cannot be
      000003-000017/day=1/part-00000.parquet   files of an epoch that is not committed, by run and number
    out/
      day=1/part-00000012-5d0c9a4e11f2-00000.parquet   by epoch, sink, and number in the epoch

The token of the sink is kept in its folder of the checkpoints, so that any number of jobs can write into one folder.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import polars as pl

from arrowstream.core.checkpoints.context import CheckpointContext
from arrowstream.core.checkpoints.durable import make_folder, sync
from arrowstream.core.checkpoints.failpoints import Failpoint, reach
from arrowstream.core.snapshot_store import JsonValue
from arrowstream.errors import SinkError
from arrowstream.io.files.destination.resolved import ResolvedSink
from arrowstream.io.files.destination.staged import found_in, parts_that_stay
from arrowstream.io.files.epochs.earlier_runs import taken_names
from arrowstream.io.files.epochs.file_marker import FileMarker, epoch_in
from arrowstream.io.files.epochs.parts import STEM, EpochParts, lost
from arrowstream.io.files.epochs.staged_epoch import StagedEpoch
from arrowstream.io.files.epochs.target import EpochTarget
from arrowstream.io.files.folder_writer import FolderWriter
from arrowstream.io.files.output.encoder import FileEncoder
from arrowstream.io.files.sink_errors import sink_errors
from arrowstream.io.files.staging.base import (
    MANY,
    folders_between,
    missing_folders,
    remove,
    remove_empty,
    remove_tree,
    synced,
)
from arrowstream.io.files.staging.contents import Version
from arrowstream.io.files.staging.exchange import move_new
from arrowstream.io.files.staging.lock import locked
from arrowstream.io.files.staging.unfinished import EPOCHS
from arrowstream.io.files.writer import FileWriter
from arrowstream.io.writer import Handle

_PRIVATE: Final = 0o700


class EpochFolder(EpochTarget):
    """The folder, and the hidden one next to it in which the files of an epoch wait.

    Parameters
    ----------
    output
        What the sink writes.
    schema
        Schema of the batches.
    new_encoder
        Makes the encoder of files with the given schema.
    checkpoint
        The checkpoints of the run.
    """

    def __init__(
        self,
        output: ResolvedSink,
        schema: pl.Schema,
        new_encoder: Callable[[pl.Schema], FileEncoder],
        checkpoint: CheckpointContext,
    ) -> None:
        self._output = output
        self._schema = schema
        self._new_encoder = new_encoder
        self._attempt = checkpoint.attempt
        self._target = target = output.target
        self._parts = EpochParts(checkpoint, str(target))
        self._marker = FileMarker(checkpoint, target)
        outside = target.with_name(f".{target.name}.{self._parts.token}{EPOCHS}")
        inside = target / f".{self._parts.token}{EPOCHS}"
        self._hidden = (outside, inside)
        # Next to the target if that is the same file system: some readers look into hidden folders.
        is_closed = target.parent.exists() and not os.access(target.parent, os.W_OK | os.X_OK)
        self._staged = inside if target.is_mount() or is_closed else outside
        self._made = missing_folders(self._staged.parent)
        self._unsynced = {target.parent, *(path.parent for path in self._made)}
        self._epoch: tuple[StagedEpoch, FolderWriter] | None = None
        self._number = 0
        self._has_files = False
        self._spare: dict[Path, Version | None] = {}

    def recover(self, epoch: int, handle: Handle | None) -> None:
        with sink_errors("cannot write to", self._target):
            self._marker.take(epoch, self._parts.committed, epoch_in(handle))
            self._parts.continue_from(epoch, begins=handle is None)
            if handle is not None:
                self.commit(handle)
            found = found_in(self._target)
            self._parts.check_shown(path.name for path, _ in found)
            names = self._parts.later((path.name for path, _ in found), epoch)
            later = {path for path, _ in found if path.name in names}
            self._remove(later)
        for hidden in self._hidden:
            remove_tree(hidden)
        found = [each for each in found if each[0] not in later]
        there = [path.relative_to(self._target).as_posix() for path, _ in found]
        if self._output.mode == "error":
            self._parts.check_alone(there, begins=handle is None)
        self.notes = self._parts.notes(there, begins=handle is None and not epoch)
        spare = parts_that_stay(self._target, found, self._output.kind, self._schema, self._output.partitions)
        self._spare = {path: Version.of(path) for path in spare}
        self._has_files = bool(found)

    @property
    def is_bare(self) -> bool:
        return not self._has_files

    def begin(self) -> FileWriter:
        epoch = StagedEpoch(self._staged / f"{self._attempt:06}-{self._number:06}", self._target)
        with sink_errors("cannot write to", self._target):
            # Nothing is in it between two epochs, and an earlier run that ends removes it then.
            if not self._staged.is_dir():
                make_folder(self._staged.parent)
                self._staged.mkdir(_PRIVATE, exist_ok=True)
                sync(self._staged.parent)
            epoch.make()
        self._number += 1
        files = FolderWriter(
            epoch,
            self._target,
            partitions=self._output.partitions,
            new_encoder=self._new_encoder,
            stem=STEM,
            suffix=self._output.part_suffix,
            limits=self._output.limits,
            unit_rows=self._output.unit_rows,
            schema=self._schema,
            may_be_empty=self._has_files,
        )
        self._epoch = epoch, files
        return files

    def seal(self, epoch: int) -> Handle:
        handle: dict[str, JsonValue] = {"version": 1, "epoch": epoch, "files": {}}
        if self._epoch is not None and (names := self._epoch[0].names):
            staged, files = self._epoch
            with sink_errors("cannot finish", self._target):
                self._check_file_system(staged.folder, names)
            handle["staged"] = os.path.relpath(staged.folder, self._target)
            handle["files"] = {name: self._parts.final(name, epoch) for name in names}
            handle["has_rows"] = files.known_folders > 0
            self._has_files = True
        elif self._epoch is not None:
            self._epoch[0].discard()
        self._epoch = None
        return handle

    def commit(self, handle: Handle) -> None:
        known: Mapping[str, Any] = handle
        if not known["files"] or known["epoch"] <= self._parts.committed:
            return
        staged = Path(os.path.normpath(self._target / known["staged"]))
        with sink_errors("cannot finish", self._target):
            self._target.mkdir(parents=True, exist_ok=True)
            with self._marker.showing(known["epoch"]), locked(self._target):
                self._name(staged, known["files"])
            reach(Failpoint.FILES_NAMED)
            self._parts.commit(known["epoch"], len(known["files"]) if known["has_rows"] else 0)
        remove_tree(staged)
        # Another run may have replaced a file without rows by one with rows.
        if known["has_rows"]:
            remove(path for path, version in self._spare.items() if Version.of(path) == version)
        shown = (self._target / final for final in known["files"].values())
        self._spare = {} if known["has_rows"] else {path: Version.of(path) for path in shown}

    def leave(self) -> None:
        remove_empty([*self._hidden, *reversed(self._made)])

    def _name(self, staged: Path, files: Mapping[str, str]) -> None:
        """Give files their final names."""
        places = {staged / name: self._target / final for name, final in files.items()}
        # Every folder on the way: a run that was killed may have made some of them.
        folders = {folder for place in places.values() for folder in folders_between(place, self._target)}
        many = len(folders) > MANY
        with synced(self._target if many else None):
            for source, place in places.items():
                if source.exists():
                    place.parent.mkdir(parents=True, exist_ok=True)
                    try:
                        move_new(source, place)
                    except FileExistsError as error:
                        raise taken_names(str(self._target), [str(place)]) from error
                    reach(Failpoint.FILES_PART_NAMED)
                elif not place.exists():
                    raise lost(str(source), str(place))
        for folder in {self._target, *self._unsynced, *(() if many else folders)}:
            sync(folder)
        self._made, self._unsynced = [], set()

    def _remove(self, files: set[Path]) -> None:
        """Remove what later epochs have shown, which comes again."""
        for path in files:
            path.unlink()
        for folder in {path.parent for path in files}:
            sync(folder)
        remove_empty(folder for path in files for folder in folders_between(path, self._target))

    def _check_file_system(self, staged: Path, names: list[str]) -> None:
        """Raise SinkError if a file cannot get its name by a rename: a partition may be a link, or mounted."""
        device = staged.stat().st_dev
        for folder in {(self._target / name).parent for name in names}:
            place = folder
            while not place.exists():
                place = place.parent
            if place.stat().st_dev != device:
                raise SinkError(
                    f"{place} is on another file system than {self._target}",
                    expected="one file system, on which a file gets its name in one step",
                    hint="write to a folder whose partitions are on one file system",
                )
