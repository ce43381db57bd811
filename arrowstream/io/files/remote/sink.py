"""Objects of a store as a sink."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl

from arrowstream.core.mistakes.explain import explain_calls, explain_names
from arrowstream.core.mistakes.other_names import SINK
from arrowstream.core.step_context import StepContext
from arrowstream.errors import PlanError, SinkError
from arrowstream.io.files.remote.failures import store_error
from arrowstream.io.files.remote.options import StorageOptions
from arrowstream.io.files.remote.stores import objects_below, status_of
from arrowstream.io.files.remote.urls import RemotePath, remote_path
from arrowstream.io.files.remote.writer import ObjectWriter
from arrowstream.io.files.sink import FileSink
from arrowstream.io.sink import BlockingWriter, SinkSpec


@explain_names("a sink", SINK)
@explain_calls
@dataclass(frozen=True)
class ObjectSink(SinkSpec):
    """Sink that writes rows into objects of a store, which appear when the run has succeeded.

    The rows are written into files in the folder for temporary files (``TMPDIR``), and uploaded after all sinks of
    the run have prepared. An object appears when its upload completes, and replaces one of the same name. An upload
    that fails shows nothing. Part files and partitions appear one after the other.

    Parameters
    ----------
    path
        Place of one object; of a folder, if its key ends with ``/``.
    files
        The same as files: format, compression, partitions.
    """

    path: RemotePath
    files: FileSink

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
        if files.mode not in (None, "error") and (is_folder or files.mode != "overwrite"):
            raise PlanError(
                f"mode={files.mode!r} is for files and folders on this machine",
                expected="one object, which replaces one of the same name, or a folder without objects",
                found=str(path),
                hint="write into a new folder, such as one that is named after the day",
            )
        return cls(path, replace(files, path=path.url))

    @property
    def is_folder(self) -> bool:
        """True for part files and partitions."""
        return self.path.key.endswith("/") or not self.path.key

    @property
    def label(self) -> str:
        return self.files.label.replace("file", "object", 1)

    @property
    def place(self) -> str | None:
        return self.path.url

    @property
    def needs_schema(self) -> bool:
        return True

    @property
    def guarantee(self) -> str:
        if self.is_folder:
            return "no partial objects: they appear one after the other, once the run has succeeded"
        return "atomic: the object appears only when the run has succeeded"

    def check(self, schema: pl.Schema) -> None:
        self.files.check(schema)

    def open(self, schema: pl.Schema, context: StepContext) -> BlockingWriter:
        """Start writing.

        Raises
        ------
        SinkError
            The folder in the store already holds data, or cannot be listed.
        """
        if self.is_folder or self.files.mode == "error":
            self._check_free()
        folder = Path(tempfile.mkdtemp(prefix="arrowstream-"))
        name = "parts/" if self.is_folder else self.path.name
        inner = replace(self.files, path=f"{folder}/{name}").open(schema, context)
        return ObjectWriter(inner, folder, self.path)

    def _check_free(self) -> None:
        try:
            found = objects_below(self.path) if self.is_folder else self._objects_here()
        except Exception as error:  # of pyarrow
            raise store_error(SinkError, "cannot be written", self.path, error) from error
        if found:
            raise SinkError(
                f"{self.path} already {'holds objects' if self.is_folder else 'exists'}",
                expected="a folder without any" if self.is_folder else "no such object, as mode='error' says",
                found=f"{len(found)} objects, such as {found[0]}" if self.is_folder else f"{found[0]}",
                hint=f"choose another {'folder' if self.is_folder else 'key'}, or delete what is there",
            )

    def _objects_here(self) -> list[str]:
        return [self.path.key] if status_of(self.path) is not None else []
