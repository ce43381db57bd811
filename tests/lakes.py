"""Tables of both kinds of lakes, for tests of what their sinks have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import delta_tables
import iceberg_tables
from deltalake import DeltaTable

from arrowstream import Sink


class Lake(ABC):
    """A table in a folder, which need not exist."""

    name: str
    """What errors call the table."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @abstractmethod
    def found(self) -> list[int]:
        """The numbers of the rows, in their order; none if there is no table."""

    @abstractmethod
    def orphans(self) -> list[str]:
        """Data files in the folder that are not part of the table."""

    @abstractmethod
    def commits(self) -> int:
        """How many commits with or without rows the table has, but for the one that made it."""

    @abstractmethod
    def epoch(self, job: str) -> int:
        """The newest epoch of a job that the table has stored."""

    @abstractmethod
    def sink(self, **options: Any) -> Any:
        """The sink of the table."""

    @abstractmethod
    def opened(self, state: Path, attempt: int = 1, job: str = "job", **options: Any) -> Any:
        """A writer of a run with checkpoints."""


class Delta(Lake):
    """A Delta table."""

    name = "the Delta table"

    def found(self) -> list[int]:
        there = (self.folder / "_delta_log").exists()
        return sorted(delta_tables.rows_of(self.folder)["x"]) if there else []

    def orphans(self) -> list[str]:
        return delta_tables.orphans(self.folder)

    def commits(self) -> int:
        return int(DeltaTable(self.folder).version())

    def epoch(self, job: str) -> int:
        found = DeltaTable(self.folder).transaction_version(f"{job}/sink")
        assert found is not None
        return int(found)

    def sink(self, **options: Any) -> Any:
        return Sink.to_delta(self.folder, **options)

    def opened(self, state: Path, attempt: int = 1, job: str = "job", **options: Any) -> Any:
        return delta_tables.opened(self.folder, state, attempt, job, **options)


class Iceberg(Lake):
    """An Iceberg table, in an embedded catalog."""

    name = "the Iceberg table"

    def found(self) -> list[int]:
        there = iceberg_tables.exists(self.folder)
        return sorted(iceberg_tables.rows_of(self.folder)["x"]) if there else []

    def orphans(self) -> list[str]:
        return iceberg_tables.orphans(self.folder)

    def commits(self) -> int:
        return len(iceberg_tables.snapshots(self.folder))

    def epoch(self, job: str) -> int:
        return int(iceberg_tables.table_of(self.folder).properties[f"arrowstream.epoch.{job}/sink"])

    def sink(self, **options: Any) -> Any:
        return iceberg_tables.to(self.folder, **options)

    def opened(self, state: Path, attempt: int = 1, job: str = "job", **options: Any) -> Any:
        return iceberg_tables.opened(self.folder, state, attempt, job, **options)
