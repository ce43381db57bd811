"""Objects of a store as a sink."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Final

import polars as pl

from arrowstream.core.mistakes.explain import explain_calls, explain_names
from arrowstream.core.mistakes.other_names import SINK
from arrowstream.core.step_context import StepContext
from arrowstream.errors import PlanError
from arrowstream.io.files.destination.encoding import folder_kind
from arrowstream.io.files.destination.resolved import json_part
from arrowstream.io.files.destination.write_mode import Mode
from arrowstream.io.files.epochs.opening import check_keeps
from arrowstream.io.files.epochs.writer import EpochWriter
from arrowstream.io.files.formats import FileKind, detect
from arrowstream.io.files.hive_folders import HivePartitions
from arrowstream.io.files.remote.epochs import EpochObjects
from arrowstream.io.files.remote.held import held_folder, held_object
from arrowstream.io.files.remote.options import StorageOptions
from arrowstream.io.files.remote.urls import RemotePath, remote_path
from arrowstream.io.files.remote.writer import ObjectWriter
from arrowstream.io.files.sink import FileSink
from arrowstream.io.sink import JsonPart, SinkSpec
from arrowstream.io.writer import BlockingWriter

_SUFFIX_LENGTH: Final = 20
"""Characters at the end of a name that hold every suffix, such as ``.feather.zst``."""


@explain_names("a sink", SINK)
@explain_calls
@dataclass(frozen=True)
class ObjectSink(SinkSpec):
    """Sink that writes rows into objects of a store, which appear when the run has succeeded.

    The rows are written into files in the folder for temporary files (``TMPDIR``), and uploaded after all sinks of
    the run have prepared. An object appears when its upload completes, and replaces one of the same name. An upload
    that fails shows nothing. Part files and partitions appear one after the other; those that replace others have
    names of their own, and the old objects are deleted once all new ones are in place.

    Parameters
    ----------
    path
        Place of one object; of a folder, if its key ends with ``/``.
    files
        The same as files: format, compression, partitions.
    epochs
        Whether objects appear epoch by epoch, as in a run with checkpoints.
    """

    path: RemotePath
    files: FileSink
    epochs: bool = False

    @classmethod
    def of(cls, url: str, *, storage_options: Mapping[str, Any] | None = None, **options: Any) -> ObjectSink:
        """Make a sink of the arguments of `Sink.to_file`; `options` are those of `FileSink.of`.

        Raises
        ------
        PlanError
            The URL is that of a web server, or an option is not known.
        """
        path = remote_path(url)
        path = replace(path, options=StorageOptions.of(path.scheme, storage_options or {}))
        if path.is_web:
            raise PlanError(
                f"{path} cannot be written",
                expected="an object of a store: s3://, gs:// or az://",
                found="a web server, which takes no uploads",
                hint="write a local file and send it",
            )
        is_folder = path.key.endswith("/") or not path.name or bool(options.get("partition_by"))
        if is_folder and path.key and not path.key.endswith("/"):
            path = replace(path, key=f"{path.key}/")
        files = FileSink.of("x", **options)
        if files.mode == "append" and not is_folder:
            raise PlanError(
                "objects of a store cannot be appended to",
                expected="a folder, whose name ends with '/', or another mode",
                found=f"mode='append' and the object {path}",
                hint="end the URL with '/': each run adds part files to the folder",
            )
        if files.roll_every is not None:
            raise PlanError(
                "roll_every is for folders on this machine",
                expected="a folder whose objects appear at the end of the run",
                found=f"roll_every={files.roll_every!r} and {path}",
                hint="leave roll_every out; end the run after a while and start the next one with mode='append'",
            )
        # As it was written, so that a name that looks like a file is not a folder of partitions.
        return cls(path, replace(files, path=url if files.partition_by else path.url))

    @property
    def is_folder(self) -> bool:
        """True for part files and partitions."""
        return self.path.is_folder

    @property
    def label(self) -> str:
        return self.files.label.replace("file", "object", 1)

    @property
    def identity(self) -> str:
        return self.files.identity.replace("file", "object", 1)

    @property
    def place(self) -> str | None:
        return self.path.url

    @property
    def needs_schema(self) -> bool:
        return True

    @property
    def guarantee(self) -> str:
        if self.epochs:
            return (
                "exactly once: part objects of an epoch appear after its checkpoint, each when it is uploaded"
            )
        if not self.is_folder:
            return "atomic: the object appears only when the run has succeeded"
        if self._mode in ("overwrite", "overwrite_partitions"):
            return (
                "no partial objects: new ones appear one after the other, once the run has succeeded; then old "
                "ones are deleted"
            )
        return "no partial objects: they appear one after the other, once the run has succeeded"

    @property
    def exactly_once(self) -> bool:
        return True

    def with_checkpoints(self) -> ObjectSink:
        if not self.is_folder:
            raise PlanError(
                "an object of a store cannot grow from checkpoint to checkpoint",
                stage=self.label,
                expected="a folder of part objects, whose URL ends with '/'",
                found=str(self.path),
                hint=f"end the URL with '/', with format={self._kind.format!r}",
            )
        check_keeps(self.files.mode or "append", self.label)
        return replace(self, epochs=True)

    @cached_property
    def side_output(self) -> ObjectSink:
        return replace(self, files=replace(self.files, side=True))

    @property
    def _mode(self) -> Mode:
        if self.files.mode is not None:
            return self.files.mode
        if self.is_folder:
            return "append" if self.files.side else "error"
        return "error" if self.files.side else "overwrite"

    @property
    def _kind(self) -> FileKind:
        if not self.is_folder:
            kind = detect(self.path.name, self.files.format, written=True)
        else:
            kind = folder_kind(self.path.key, self.files.format, by_partitions=False)
        return kind.laid_out(self.files.layout)

    def check(self, schema: pl.Schema) -> None:
        self.files.check(schema)

    def json_part(self, schema: pl.Schema) -> JsonPart | None:
        return json_part(self._kind, self.files.partition_by, schema)

    def open(self, schema: pl.Schema, context: StepContext) -> BlockingWriter:
        """Start writing.

        Raises
        ------
        SinkError
            The target holds rows that may not stay or be replaced, or cannot be looked at.
        SchemaError
            It holds rows of other columns, to which these cannot be appended.
        """
        self.check(schema)
        if self.epochs:
            return self._open_epochs(schema, context)
        kind, partitions = self._kind, HivePartitions(self.files.partition_by)
        held = (
            held_folder(self.path, self._mode, kind, schema, partitions)
            if self.is_folder
            else held_object(self.path, self._mode, kind, schema)
        )
        folder = Path(tempfile.mkdtemp(prefix="arrowstream-"))
        try:
            inner = self._files_in(folder, kind).open(schema, context)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return ObjectWriter(inner, folder, self.path, held)

    def _open_epochs(self, schema: pl.Schema, context: StepContext) -> BlockingWriter:
        """Start writing objects that appear epoch by epoch; `recover` of the writer looks at the target."""
        checkpoint = context.checkpoint
        assert checkpoint is not None
        output = self._files_in(checkpoint.folder, self._kind).resolved
        output = replace(output, mode=self.files.mode or "append")
        target = EpochObjects(self.path, output, schema, partial(output.encoder, context), checkpoint)
        return EpochWriter(target, None)

    def _files_in(self, folder: Path, kind: FileKind) -> FileSink:
        """Return the sink of files in a folder on this machine that become the objects."""
        # Only the end of a key tells something: the whole may be too long for a file, or lead out of the folder.
        end = self.path.key.rstrip("/").rpartition("/")[2][-_SUFFIX_LENGTH:]
        path = f"{folder}/x{end}{'/' if self.is_folder else ''}"
        # In all modes but "error", part files get names of their own, so that no upload replaces an object.
        mode: Mode | None = "append" if self.is_folder and self._mode != "error" else None
        return replace(self.files, path=path, format=kind.format, mode=mode, side=False)
