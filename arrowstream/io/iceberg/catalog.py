"""`IcebergCatalog`: the catalog that knows where tables are, as users write it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from arrowstream.config.masking import MASK, masked, secrets_in
from arrowstream.config.secret_text import read_secret
from arrowstream.core.checkpoints.durable import make_folder
from arrowstream.core.checks import PathLike
from arrowstream.errors import PlanError

if TYPE_CHECKING:
    from pyiceberg.catalog import Catalog

_FILES = (".db", ".sqlite", ".sqlite3")
_DEFAULT = "default"
_TABLES = 2
"""Number of tables in the file of a catalog."""
_WAIT_S = 60
"""Seconds for which a process waits while another one writes to the file of a catalog."""
_UNFIT = re.compile(r"[%?#]")


@dataclass(frozen=True, slots=True)
class IcebergCatalog:
    """A catalog. Nothing is read or opened before a pipeline is built.

    Parameters
    ----------
    path
        The SQLite file of an embedded catalog, whose tables are in the folder of the file; None for another one.
    name
        Name of a catalog, under which it may have properties in the configuration of pyiceberg.
    properties
        Properties of a catalog as pyiceberg has them.
    """

    path: Path | None
    name: str = _DEFAULT
    properties: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    @classmethod
    def of(cls, step: str, catalog: PathLike | Mapping[str, Any]) -> IcebergCatalog:
        """Return the catalog that a user writes as a path, or as properties.

        Raises
        ------
        PlanError
            It is neither, or a path that a table cannot have.
        """
        if isinstance(catalog, Mapping):
            return cls._of_properties(step, catalog)
        if not isinstance(catalog, str | os.PathLike) or not str(catalog):
            raise PlanError(
                f"{step} takes a catalog",
                expected="the path of a folder or SQLite file, or a dict of properties such as "
                "{'type': 'rest', 'uri': 'https://...'}",
                found=repr(catalog),
            )
        text = os.fspath(catalog)
        if "://" in text:
            raise PlanError(
                f"{step} takes a catalog by its URI only with its other properties",
                expected=f"catalog={{'uri': {masked('uri', text)!r}, ...}}, with 'type' and 'warehouse' if needed",
                found=str(masked("uri", text)),
            )
        path = Path(text).expanduser()
        path = path if path.suffix in _FILES else path / "catalog.db"
        if _UNFIT.search(str(path.absolute())):
            raise PlanError(
                f"{step} cannot have tables below a folder whose name has %, ? or #",
                expected="other names: places of files are written as URLs into a table",
                found=text,
            )
        return cls(path)

    @classmethod
    def _of_properties(cls, step: str, found: Mapping[str, Any]) -> IcebergCatalog:
        wrong = [key for key, value in found.items() if not isinstance(value, str | int)]
        if wrong or not found:
            raise PlanError(
                f"{step} takes properties of a catalog",
                expected="texts, numbers or truth values; 'name' is that of a catalog in pyiceberg's configuration",
                found=f"{wrong[0]!r} of type {type(found[wrong[0]]).__name__}" if wrong else "no property",
            )
        given = {
            str(key): str(value).lower() if isinstance(value, bool) else str(value)
            for key, value in found.items()
        }
        name = given.pop("name", _DEFAULT)
        return cls(None, name, tuple(sorted(given.items())))

    def __str__(self) -> str:
        if self.path is not None:
            return str(self.path.parent if self.path.name == "catalog.db" else self.path)
        return str(masked("uri", dict(self.properties).get("uri", self.name)))

    @property
    def place(self) -> str:
        """The catalog, to find sinks that write to the same table."""
        return str(self if self.path is None else self.path.absolute())

    @property
    def exists(self) -> bool:
        """Whether the file of an embedded catalog is there; True for any other catalog."""
        return self.path is None or self.path.exists()

    def secrets(self) -> list[str]:
        """Return the parts of the properties that no message may have."""
        return [
            secret
            for key, value in self._read().items()
            for secret in secrets_in(_plain(key), value)
            if secret
        ]

    def open(self) -> Catalog:
        """Open the catalog; that of a file is made if it is missing."""
        if self.path is None:
            from pyiceberg.catalog import load_catalog

            return load_catalog(self.name, **self._read())
        from pyiceberg.catalog.sql import SqlCatalog
        from sqlalchemy.exc import OperationalError

        path = self.path.absolute()
        make_folder(path.parent)
        properties = {
            "uri": f"sqlite:///{path}?timeout={_WAIT_S}",
            "warehouse": f"file://{path.parent}",
            "py-io-impl": "arrowstream.io.iceberg.durable_files.DurableFiles",
        }
        for _ in range(_TABLES):
            # Another process may make one of the tables after this one has looked for it.
            with suppress(OperationalError):
                return SqlCatalog(self.name, **properties)
        return SqlCatalog(self.name, **properties)

    def _read(self) -> dict[str, str]:
        """Return the properties, with secrets from where they are: variables and files."""
        return {
            key: read_secret(key, value)
            if value.startswith("env:") or masked(_plain(key), value) == MASK
            else value
            for key, value in self.properties
        }


def _plain(key: str) -> str:
    """Return the key of a property as the names of secrets are written."""
    return re.sub(r"\W", "_", key)
