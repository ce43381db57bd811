"""Data files become part of a table: one commit of its log, and the number of an epoch with them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote

from arrowstream.core.checkpoints.durable import sync
from arrowstream.core.checkpoints.other_run import other_run
from arrowstream.errors import SinkError
from arrowstream.io.delta.data_files import DataFile
from arrowstream.io.delta.location import DeltaLocation
from arrowstream.io.delta.owner import Owner
from arrowstream.io.delta.target import Target
from arrowstream.io.delta.types import delta_schema
from arrowstream.io.lake.modes import Mode, check_new

_TRIES = 5


def check_mode(location: DeltaLocation, mode: Mode, table: Any, owner: Owner | None) -> None:
    """Raise SinkError if the table should be made, and exists without a run of this sink."""
    if table is not None:
        check_new(mode, f"the Delta table {location}", own=owner is not None and owner.owns(table))


def claim(location: DeltaLocation, target: Target, mode: Mode, owner: Owner) -> None:
    """Store that a run has the sink, in a commit without rows; make the table if it is missing.

    Raises
    ------
    SinkError
        A later run has it, or the table should be made and exists.
    deltalake.exceptions.DeltaError
        The table cannot be written.
    """
    from deltalake.exceptions import DeltaError

    tries = 0
    while True:
        table = location.table()
        check_mode(location, mode, table, owner)
        owner.check(location, table)
        if owner.has_claimed(table):
            return
        try:
            _commit_to(location, table, target, "append", [], owner.transactions(None))
        except DeltaError:
            # Another writer has made the table, or was faster, or the claim is there though the call failed.
            tries += 1
            if tries == _TRIES:
                raise
            continue
        _sync_log(location, -1 if table is None else table.version())
        return


def commit(
    location: DeltaLocation,
    target: Target,
    mode: Mode,
    files: Sequence[DataFile],
    epoch: tuple[Owner, int] | None,
    *,
    shown: int | None,
) -> None:
    """Add files to a table in one commit; make the table if it is missing.

    Parameters
    ----------
    location
        Place of the table.
    target
        Its columns.
    mode
        What becomes of the rows that it has.
    files
        The files; without any, a table that exists stays as it is unless it is overwritten.
    epoch
        The sink in the log of the table, and the epoch. If the table has the epoch, nothing is done. None in a
        run without checkpoints.
    shown
        The newest epoch with rows that the table has, as this run knows it: with another one, it has rows of another
        run. None if the epoch may have been committed before.

    Raises
    ------
    SinkError
        A file is missing, the table exists and should be made, a later run has the sink, or another run writes it
        with the same id.
    deltalake.exceptions.DeltaError
        The table cannot be written.
    """
    from deltalake.exceptions import DeltaError

    owner, number = (None, 0) if epoch is None else epoch
    tries = 0
    while True:
        table = location.table()
        if owner is not None:
            owner.check(location, table)
            found = owner.epoch(table)
            if shown is not None and found > shown and not (tries and _has(table, files)):
                what = f"the Delta table {location} as {owner.app!r}"
                raise other_run(what, f"epoch {shown}, as this run has left it", f"epoch {found}")
            if found >= number:
                return
        if table is not None and not files and mode != "overwrite":
            return
        if table is not None:
            check_mode(location, mode, table, owner)
            target.check_again(location, table)
        _check_files(location, files)
        try:
            transactions = None if owner is None else owner.transactions(number if files else None)
            _commit_to(location, table, target, mode, files, transactions)
        except DeltaError:
            # Another writer has made the table, or the epoch is there though the call failed.
            tries += 1
            if (
                tries == _TRIES
                or (owner is None and table is not None)
                or (table is None and mode == "error")
            ):
                raise
            continue
        _sync_log(location, -1 if table is None else table.version())
        return


def _commit_to(
    location: DeltaLocation,
    table: Any,
    target: Target,
    mode: Mode,
    files: Sequence[DataFile],
    transactions: list[Any] | None,
) -> None:
    from deltalake import CommitProperties
    from deltalake.transaction import create_table_with_add_actions

    properties = CommitProperties(app_transactions=transactions)
    actions = [file.action() for file in files]
    partition_by = list(target.partition_by)
    if table is None:
        create_table_with_add_actions(
            location.uri,
            delta_schema(target.schema),
            actions,
            mode="error",
            partition_by=partition_by,
            storage_options=location.options,
            commit_properties=properties,
        )
        return
    table.create_write_transaction(
        actions,
        "overwrite" if mode == "overwrite" else "append",
        table.schema(),
        partition_by,
        commit_properties=properties,
    )


def _has(table: Any, files: Sequence[DataFile]) -> bool:
    """Return whether files are part of a table, as those of a commit whose answer was lost."""
    found = {unquote(path) for path in table.get_add_actions().column("path").to_pylist()}
    return {file.path for file in files} <= found


def _check_files(location: DeltaLocation, files: Sequence[DataFile]) -> None:
    for file in files:
        found = location.size(file.path)
        if found != file.size:
            raise SinkError(
                f"a data file for the Delta table {location} is damaged",
                expected=f"{file.path} with {file.size:,} bytes",
                found="no file" if found is None else f"{found:,} bytes",
                hint="the rows of the epoch are lost: files that were not part of the table yet have been removed",
            )


def _sync_log(location: DeltaLocation, version: int) -> None:
    """Flush the entries of the log after a version, and their names, to the disk of this machine."""
    if location.local is None:
        return
    log = location.local / "_delta_log"
    while (entry := log / f"{version + 1:020}.json").exists():
        sync(entry)
        version += 1
    for folder in (log, location.local):
        sync(folder)
