"""Avro container files, block by block."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any, Final

import polars as pl

from arrowstream.io.files.avro.container import rows_start
from arrowstream.io.files.output.encoder import EncodedOutput, FileEncoder

BLOCK_ROWS: Final = 65_536
"""Most rows of a block."""


class AvroFileEncoder(FileEncoder):
    """Encoder of Avro container files; every field may be null.

    Parameters
    ----------
    schema
        Schema of every frame.
    codec
        Compression of the blocks; None for no compression.
    """

    def __init__(self, schema: pl.Schema, codec: str | None) -> None:
        super().__init__(schema)
        self._codec: Any = codec or "uncompressed"

    def encode_frames(
        self, frames: Iterator[pl.DataFrame], first: pl.DataFrame, target: EncodedOutput
    ) -> None:
        begun = False
        for frame in frames:
            for rows in frame.iter_slices(BLOCK_ROWS):
                self._add(rows, target, begun)
                begun = True

    def sink(self, rows: pl.LazyFrame, first: pl.DataFrame, target: EncodedOutput) -> pl.LazyFrame:
        def add(frame: pl.DataFrame) -> pl.DataFrame:
            self._add(frame, target, False)
            return frame

        return rows.map_batches(add)

    def _add(self, rows: pl.DataFrame, target: EncodedOutput, begun: bool) -> None:
        # Polars writes whole files, whose sync markers are the same: after the first header, only the blocks count.
        content = io.BytesIO()
        # Polars 1 writes a whole file for each chunk.
        rows.rechunk().write_avro(content, compression=self._codec, name="row")
        written = content.getvalue()
        target.add(written[rows_start(written) :] if begun else written)
