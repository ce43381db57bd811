"""Opening the files of a sink in a run without checkpoints."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import polars as pl

from arrowstream.core.step_context import StepContext
from arrowstream.io.files.destination.resolved import ResolvedSink
from arrowstream.io.files.destination.staged import stage_file, stage_folder
from arrowstream.io.files.destination.write_mode import part_stem
from arrowstream.io.files.folder_writer import FolderWriter
from arrowstream.io.files.output.growing_file import GrowingFile
from arrowstream.io.files.output.stream_file import StreamFile
from arrowstream.io.files.writer import FileWriter, SingleFileWriter


def open_files(output: ResolvedSink, path: Path, schema: pl.Schema, context: StepContext) -> FileWriter:
    """Start writing files that become visible at the end of the run.

    Parameters
    ----------
    output
        What the sink writes.
    path
        The path as the sink names it, for a stream.
    schema
        Schema of the batches.
    context
        The context of the sink.

    Raises
    ------
    SinkError
        The place cannot be written to, or already holds data files.
    SchemaError
        It holds rows of other columns, to which these cannot be appended.
    """
    mode, kind, target = output.mode, output.kind, output.target
    if output.place == "stream":
        stream = StreamFile(path)
        return SingleFileWriter(stream, stream, output.encoder(context, schema), unit_rows=1)
    if output.place == "file":
        staged, newline = stage_file(target, mode, kind, schema, output.compression)
        file = GrowingFile(lambda: staged.path, target)
        encoder = output.encoder(context, schema, header=mode != "append", newline=newline)
        return SingleFileWriter(staged, file, encoder, output.unit_rows)
    rolls = output.limits.rolls and mode == "append"
    staging, holds = stage_folder(target, mode, kind, schema, output.partitions, rolls)
    return FolderWriter(
        staging,
        target,
        partitions=output.partitions,
        new_encoder=partial(output.encoder, context),
        stem=part_stem(mode),
        suffix=output.part_suffix,
        limits=output.limits,
        unit_rows=output.unit_rows,
        schema=schema,
        may_be_empty=holds,
    )
