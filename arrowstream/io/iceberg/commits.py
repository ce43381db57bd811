"""Data files become part of a table: one transaction, with the number of an epoch in its snapshot and the table."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import polars as pl

from arrowstream.core.checkpoints.other_run import other_run
from arrowstream.io.iceberg.data_files import DataFile, manifest_file
from arrowstream.io.iceberg.location import IcebergLocation
from arrowstream.io.iceberg.owner import Owner
from arrowstream.io.iceberg.types import iceberg_schema
from arrowstream.io.lake.modes import Mode, check_new

if TYPE_CHECKING:
    from pyiceberg.catalog import Catalog
    from pyiceberg.manifest import DataFile as ManifestFile
    from pyiceberg.table import CreateTableTransaction, Table, Transaction

_TRIES = 10
_WAIT_S = 0.02
"""Longest wait after the first conflict with another writer; it doubles with each."""
_MADE = {
    "format-version": "2",
    "commit.manifest-merge.enabled": "true",
    "write.metadata.delete-after-commit.enabled": "true",
}
"""Properties of a table that is made: what grows with the number of commits is kept small."""
_RETRIES = "commit.retry.num-retries"


def check_mode(location: IcebergLocation, mode: Mode, table: Table | None, owner: Owner | None) -> None:
    """Raise SinkError if the table should be made, and exists without a run of this sink."""
    if table is not None:
        own = owner is not None and owner.owns(table)
        check_new(mode, f"the Iceberg table {location}", own=own)


def staged(
    location: IcebergLocation, catalog: Catalog, schema: pl.Schema, partition_by: Sequence[str]
) -> CreateTableTransaction:
    """Return the transaction that makes a table with these stored columns."""
    from pyiceberg.partitioning import PartitionField, PartitionSpec
    from pyiceberg.transforms import IdentityTransform

    columns = iceberg_schema(schema)
    fields = [
        PartitionField(columns.find_field(name).field_id, 1000 + number, IdentityTransform(), name)
        for number, name in enumerate(partition_by)
    ]
    _make_namespace(catalog, location.name[:-1])
    return catalog.create_table_transaction(
        location.name, columns, partition_spec=PartitionSpec(*fields), properties=_MADE
    )


def _make_namespace(catalog: Catalog, name: tuple[str, ...]) -> None:
    """Make a namespace if it is missing, whoever else makes it at the same time."""
    try:
        catalog.create_namespace_if_not_exists(name)
    except Exception:
        if not catalog.namespace_exists(name):
            raise


def table_of(transaction: CreateTableTransaction) -> Table:
    """Return the table that a transaction makes."""
    return transaction._table


def claim(
    location: IcebergLocation,
    catalog: Catalog,
    schema: pl.Schema,
    partition_by: Sequence[str],
    mode: Mode,
    owner: Owner,
) -> None:
    """Store that a run has the sink, in a snapshot without rows; make the table if it is missing.

    The snapshot makes a commit fail that an earlier run has begun: each asserts which snapshot it follows, but no
    properties.

    Raises
    ------
    SinkError
        A later run has it, or the table should be made and exists.
    Exception
        The table cannot be written.
    """
    tries = 0
    while True:
        table = location.load(catalog)
        check_mode(location, mode, table, owner)
        owner.check(location, table)
        if owner.has_claimed(table):
            return
        exists = table is not None
        table, transaction = _begun(location, catalog, schema, partition_by, table)
        transaction.set_properties(owner.properties(None))
        if exists:
            with transaction.update_snapshot(snapshot_properties=owner.summary(None)).fast_append():
                pass
        try:
            transaction.commit_transaction()
        except Exception:
            tries += 1
            # Unless the claim is there though the call has failed.
            if tries == _TRIES and not owner.has_claimed(location.load(catalog)):
                raise
            time.sleep(random.uniform(0, _WAIT_S * 2**tries))


def commit(
    location: IcebergLocation,
    catalog: Catalog,
    schema: pl.Schema,
    partition_by: Sequence[str],
    mode: Mode,
    files: Sequence[DataFile],
    epoch: tuple[Owner, int] | None,
    *,
    shown: int | None,
) -> None:
    """Add files to a table in one transaction; make the table if it is missing.

    Parameters
    ----------
    location
        Name of the table.
    catalog
        Its catalog.
    schema
        The stored columns of a table that is made.
    partition_by
        Columns by which it is partitioned.
    mode
        What becomes of the rows that a table has.
    files
        The files; without any, a table that exists stays as it is unless it is overwritten.
    epoch
        The sink in the table, and the epoch. If the table has the epoch, nothing is done. None in a run
        without checkpoints.
    shown
        The newest epoch with rows that the table has, as this run knows it: with another one, it has rows of another
        run. None if the epoch may have been committed before.

    Raises
    ------
    SinkError
        A file is missing, the table exists and should be made, a later run has the sink, or another run writes it
        with the same id.
    SchemaError
        Another writer has changed the table so that the files do not fit.
    Exception
        The table cannot be written.
    """
    from pyiceberg.exceptions import (
        CommitFailedException,
        CommitStateUnknownException,
        TableAlreadyExistsError,
    )

    conflicts = (CommitFailedException, CommitStateUnknownException, TableAlreadyExistsError)
    owner, number = (None, 0) if epoch is None else epoch
    tried: list[tuple[Table, int | None]] = []
    while True:
        table = location.load(catalog)
        if _landed(table, tried):
            return
        if owner is not None:
            owner.check(location, table)
            found = owner.epoch(table)
            if shown is not None and found > shown:
                what = f"the Iceberg table {location} as {owner.app!r}"
                raise other_run(what, f"epoch {shown}, as this run has left it", f"epoch {found}")
            if found >= number:
                return
        if table is not None and not files and mode != "overwrite":
            return
        check_mode(location, mode, table, owner)
        table, transaction = _begun(location, catalog, schema, partition_by, table)
        snapshot = _stage(location, transaction, table, mode, files, epoch)
        try:
            transaction.commit_transaction()
        except Exception as error:
            tried.append((table, snapshot))
            if _landed(location.load(catalog), tried):
                return
            if not isinstance(error, conflicts) or len(tried) == _TRIES:
                raise
            time.sleep(random.uniform(0, _WAIT_S * 2 ** len(tried)))
            continue
        return


def _begun(
    location: IcebergLocation,
    catalog: Catalog,
    schema: pl.Schema,
    partition_by: Sequence[str],
    table: Table | None,
) -> tuple[Table, Transaction]:
    """Return a table, one that is staged if there is none, and a transaction on it."""
    if table is None:
        made = staged(location, catalog, schema, partition_by)
        return table_of(made), made
    # The library would try again without a look at the epochs of the table.
    table.metadata.properties[_RETRIES] = "0"
    return table, table.transaction()


def _stage(
    location: IcebergLocation,
    transaction: Transaction,
    table: Table,
    mode: Mode,
    files: Sequence[DataFile],
    epoch: tuple[Owner, int] | None,
) -> int | None:
    """Add files to a transaction, and return the id of its snapshot; None without one."""
    added = [manifest_file(location, table, file) for file in files]
    summary = {}
    if epoch is not None:
        owner, number = epoch
        summary = owner.summary(number)
        transaction.set_properties(owner.properties(number if files else None))
    old = list(_files_of(table)) if mode == "overwrite" else []
    if not added and not old:
        return None
    update = transaction.update_snapshot(snapshot_properties=summary)
    with update.overwrite() if old else update.merge_append() as snapshot:
        for each in old:
            snapshot.delete_data_file(each)
        for each in added:
            snapshot.append_data_file(each)
    return snapshot.snapshot_id


def _files_of(table: Table) -> list[ManifestFile]:
    """Return the files of the newest version of a table, those of deleted rows included."""
    snapshot = table.current_snapshot()
    manifests = [] if snapshot is None else snapshot.manifests(table.io)
    return [entry.data_file for manifest in manifests for entry in manifest.fetch_manifest_entry(table.io)]


def _landed(found: Table | None, tried: Sequence[tuple[Table, int | None]]) -> bool:
    """Return whether a table has a commit whose answer was lost, given the table and the snapshot of each."""
    return found is not None and any(
        found.metadata.table_uuid == table.metadata.table_uuid
        and (snapshot is None or found.snapshot_by_id(snapshot) is not None)
        for table, snapshot in tried
    )
