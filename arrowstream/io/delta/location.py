"""`DeltaLocation`: the folder of a table, on this machine or in an object store."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from arrowstream.core.checkpoints.durable import make_folder, sync
from arrowstream.core.checks import PathLike
from arrowstream.errors import PlanError
from arrowstream.io.files.remote.options import StorageOptions
from arrowstream.io.files.remote.stores import store_of
from arrowstream.io.files.remote.urls import RemotePath, remote_path

STORES = ("s3", "gs", "az")
_ESCAPE = re.compile("%[0-9A-Fa-f]{2}")


@dataclass(frozen=True, slots=True)
class DeltaLocation:
    """Folder of a table. Nothing is read or opened before a pipeline is built.

    Parameters
    ----------
    path
        A folder of this machine, or the URL of an object store without a slash at its end.
    """

    path: Path | RemotePath

    @classmethod
    def of(cls, step: str, path: PathLike, storage_options: Mapping[str, str | int] | None) -> DeltaLocation:
        """Return the location that a user writes as a path or URL.

        Raises
        ------
        PlanError
            It is not a place of a table, or an option is unknown.
        """
        if not isinstance(path, str | os.PathLike) or not str(path):
            raise PlanError(
                f"{step} takes the folder of a table", expected="a path or a URL", found=repr(path)
            )
        text = os.fspath(path)
        scheme, found, _ = text.partition("://")
        if not found or scheme.lower() == "file":
            if storage_options is not None:
                raise PlanError(
                    "only URLs have storage options",
                    expected="a URL such as 's3://bucket/table'",
                    found=text,
                    hint="leave out storage_options=",
                )
            folder = Path(text.removeprefix(f"{scheme}://") if found else text).expanduser()
            if _ESCAPE.search(str(folder.absolute())):
                raise PlanError(
                    f"{step} cannot reach a table below a folder whose name has a % and two digits",
                    expected="other names: deltalake reads %20 as a space",
                    found=text,
                )
            return cls(folder)
        if scheme.lower() not in STORES:
            raise PlanError(
                f"{step} cannot reach a table by {scheme}://",
                expected="a path, or a URL that begins with s3://, gs:// or az://",
            )
        options = StorageOptions.of(scheme.lower(), storage_options or {})
        return cls(remote_path(text.rstrip("/"), options))

    def __str__(self) -> str:
        return str(self.path)

    @property
    def in_full(self) -> str:
        """The place, a folder of this machine by its absolute path."""
        return str(self) if self.local is None else str(self.local.absolute())

    @property
    def local(self) -> Path | None:
        """The folder, if it is one of this machine."""
        return self.path if isinstance(self.path, Path) else None

    def table(self, version: int | None = None) -> Any:
        """Return the table as `deltalake` reads it, in its newest or an older version; None if there is no table.

        Raises
        ------
        deltalake.exceptions.DeltaError
            The table cannot be read, or not in this version.
        """
        from deltalake import DeltaTable
        from deltalake.exceptions import TableNotFoundError

        try:
            return DeltaTable(self.uri, version=version, storage_options=self.options)
        except TableNotFoundError:
            return None

    @property
    def uri(self) -> str:
        """The place as `deltalake` takes it."""
        return self.path.url if isinstance(self.path, RemotePath) else self.path.absolute().as_uri()

    @property
    def options(self) -> dict[str, str] | None:
        """Options of the store as `deltalake` takes them."""
        return self.path.options.for_polars() if isinstance(self.path, RemotePath) else None

    def file_system(self) -> tuple[Any, str]:
        """Return pyarrow's file system, and the folder in it.

        The one that deltalake offers holds Python's lock while it waits for a store.
        """
        from pyarrow import fs

        if isinstance(self.path, Path):
            return fs.LocalFileSystem(), str(self.path.absolute())
        return store_of(self.path), f"{self.path.bucket}/{self.path.key}"

    def write(self, name: str, content: bytes | memoryview) -> None:
        """Write a new file of the folder; if this fails, the file is removed."""
        files, root = self.file_system()
        if self.local is not None:
            make_folder((self.local / name).parent)
        try:
            with files.open_output_stream(f"{root}/{name}", compression=None) as stream:
                stream.write(content)
        except BaseException:
            self.delete(name)
            raise

    def size(self, name: str) -> int | None:
        """Return the bytes of a file; None if it is missing."""
        files, root = self.file_system()
        found: int | None = files.get_file_info(f"{root}/{name}").size
        return found

    def delete(self, name: str) -> None:
        """Remove a file, if it is there and can be removed, and the folders of its partition that are then empty."""
        files, root = self.file_system()
        try:
            files.delete_file(f"{root}/{name}")
            if self.local is None:
                return
            for folder in list(Path(name).parents)[:-1]:
                (self.local / folder).rmdir()
        except OSError:
            return

    def sync(self, names: list[str]) -> None:
        """Flush files, and the folders that name them, to the disk of this machine."""
        if self.local is None:
            return
        paths = [self.local / name for name in names]
        for path in (*paths, *sorted({path.parent for path in paths})):
            sync(path)
