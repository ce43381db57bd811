"""A folder of part objects in a store that grows from epoch to epoch.

::

    parts/000003-000017/day=1/part-00000.parquet      in the sink's folder of the checkpoints, until it is uploaded
    s3://bucket/out/day=1/part-00000012-5d0c9a4e11f2-00000.parquet   by epoch, sink, and number in the epoch

An upload can be repeated: it replaces the object of the same name by the same content.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import polars as pl

from arrowstream.core.checkpoints.context import CheckpointContext
from arrowstream.core.checkpoints.durable import make_folder
from arrowstream.core.checkpoints.failpoints import Failpoint, reach
from arrowstream.core.snapshot_store import JsonValue
from arrowstream.errors import SinkError
from arrowstream.io.files.destination.resolved import ResolvedSink
from arrowstream.io.files.epochs.earlier_runs import taken_names
from arrowstream.io.files.epochs.parts import STEM, EpochParts, lost
from arrowstream.io.files.epochs.staged_epoch import StagedEpoch
from arrowstream.io.files.epochs.target import EpochTarget
from arrowstream.io.files.folder_writer import FolderWriter
from arrowstream.io.files.output.encoder import FileEncoder
from arrowstream.io.files.remote.failures import store_error
from arrowstream.io.files.remote.held import data_objects, held_folder
from arrowstream.io.files.remote.stores import delete, exists
from arrowstream.io.files.remote.urls import RemotePath
from arrowstream.io.files.remote.writer import UPLOADS, upload
from arrowstream.io.files.sink_errors import sink_errors
from arrowstream.io.files.staging.base import remove_empty, remove_tree
from arrowstream.io.files.writer import FileWriter
from arrowstream.io.writer import Handle


class EpochObjects(EpochTarget):
    """The folder, and the one on this machine in which files of an epoch wait for their upload.

    Parameters
    ----------
    target
        The folder.
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
        target: RemotePath,
        output: ResolvedSink,
        schema: pl.Schema,
        new_encoder: Callable[[pl.Schema], FileEncoder],
        checkpoint: CheckpointContext,
    ) -> None:
        self._target = target
        self._output = output
        self._schema = schema
        self._new_encoder = new_encoder
        self._attempt = checkpoint.attempt
        self._staged = checkpoint.folder / "parts"
        self._parts = EpochParts(checkpoint, str(target))
        self._epoch: tuple[StagedEpoch, FolderWriter] | None = None
        self._number = 0
        self._has_objects = False
        self._fresh = 0
        """The epoch that this run has prepared, until the first try to commit it."""
        self._spare: tuple[str, ...] = ()

    def recover(self, epoch: int, handle: Handle | None) -> None:
        with sink_errors("cannot write to", self._staged):
            self._parts.continue_from(epoch, begins=handle is None)
        if handle is not None:
            self.commit(handle)
        found = list(data_objects(self._target))
        self._parts.check_shown(found)
        later = self._parts.later(found, epoch)
        self._delete(later)
        remove_tree(self._staged)
        kept = [name for name in found if name not in later]
        if self._output.mode == "error":
            self._parts.check_alone(kept, begins=handle is None)
        self.notes = self._parts.notes(kept, begins=handle is None and not epoch)
        held = held_folder(self._target, "append", self._output.kind, self._schema, self._output.partitions)
        self._spare = held.old
        self._has_objects = bool(kept)

    @property
    def is_bare(self) -> bool:
        return not self._has_objects

    def begin(self) -> FileWriter:
        with sink_errors("cannot write to", self._staged):
            make_folder(self._staged)
        epoch = StagedEpoch(self._staged / f"{self._attempt:06}-{self._number:06}", self._staged)
        self._number += 1
        files = FolderWriter(
            epoch,
            self._staged,
            partitions=self._output.partitions,
            new_encoder=self._new_encoder,
            stem=STEM,
            suffix=self._output.part_suffix,
            limits=self._output.limits,
            unit_rows=self._output.unit_rows,
            schema=self._schema,
            may_be_empty=self._has_objects,
        )
        self._epoch = epoch, files
        return files

    def seal(self, epoch: int) -> Handle:
        self._fresh = epoch
        handle: dict[str, JsonValue] = {"version": 1, "epoch": epoch, "files": {}}
        if self._epoch is not None and (names := self._epoch[0].names):
            staged, files = self._epoch
            handle["staged"] = staged.folder.name
            handle["files"] = {name: self._parts.final(name, epoch) for name in names}
            handle["has_rows"] = files.known_folders > 0
            self._has_objects = True
        self._epoch = None
        return handle

    def commit(self, handle: Handle) -> None:
        known: Mapping[str, Any] = handle
        fresh, self._fresh = self._fresh == known["epoch"], 0
        if not known["files"] or known["epoch"] <= self._parts.committed:
            return
        staged = self._staged / known["staged"]
        files = [(staged / name, self._target.below(final)) for name, final in known["files"].items()]
        if fresh:
            self._check_free([place for _, place in files])
        with ThreadPoolExecutor(UPLOADS) as uploads:
            for _ in uploads.map(_show, files):
                pass
        reach(Failpoint.FILES_NAMED)
        with sink_errors("cannot finish", self._staged):
            self._parts.commit(known["epoch"], len(files) if known["has_rows"] else 0)
        remove_tree(staged)
        if known["has_rows"]:
            self._delete(self._spare)
        self._spare = () if known["has_rows"] else tuple(known["files"].values())

    def leave(self) -> None:
        remove_empty([self._staged])

    def _check_free(self, places: list[RemotePath]) -> None:
        """Check that nobody has written the objects of an epoch which this run has not tried to upload yet.

        Raises
        ------
        SinkError
            Another run writes with a copy of the checkpoint folder.
        """
        with ThreadPoolExecutor(UPLOADS) as looking:
            taken = [
                str(place) for place, there in zip(places, looking.map(_exists, places), strict=True) if there
            ]
        if taken:
            raise taken_names(str(self._target), taken)

    def _delete(self, names: Iterable[str]) -> None:
        for name in names:
            place = self._target.below(name)
            try:
                delete(place)
            except Exception as error:  # of pyarrow
                raise store_error(SinkError, "cannot be deleted", place, error) from error


def _exists(place: RemotePath) -> bool:
    try:
        return exists(place)
    except Exception as error:  # of pyarrow
        raise store_error(SinkError, "cannot be looked at", place, error) from error


def _show(file: tuple[Path, RemotePath]) -> None:
    path, place = file
    if not path.exists():
        raise lost(str(path), str(place))
    upload(path, place)
    reach(Failpoint.FILES_PART_NAMED)
