"""Compressed record batches of Arrow files."""

from __future__ import annotations

import io
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest

from arrowstream import Pipeline, Source
from arrowstream.io.files.columnar import scan


def test_a_compressed_record_batch_is_decoded_once_for_all_its_slices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = pl.DataFrame({"x": range(50_000), "s": [f"text number {n}" for n in range(50_000)]})
    table = rows.to_arrow()
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.ipc.new_file(tmp_path / "rows.arrow", table.schema, options=options) as writer:
        writer.write_table(table)
    decoded: list[int] = []

    def scan_ipc(content: io.BytesIO) -> pl.LazyFrame:
        decoded.append(1)
        return plain(content)

    plain = scan.scan_ipc
    monkeypatch.setattr(scan, "PIECE_BYTES", 10_000)
    monkeypatch.setattr(scan, "scan_ipc", scan_ipc)
    read = Pipeline.builder().source(Source.from_file(tmp_path / "rows.arrow")).filter(pl.col("x") % 3 == 0)
    assert read.collect_sync().equals(rows.filter(pl.col("x") % 3 == 0))
    assert len(decoded) <= 2  # the schema, and the rows
