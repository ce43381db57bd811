"""Which file sinks take part in checkpoints, and how they are opened."""

from __future__ import annotations

from functools import partial

import polars as pl

from arrowstream.core.step_context import StepContext
from arrowstream.errors import PlanError
from arrowstream.io.files.destination.resolved import ResolvedSink
from arrowstream.io.files.destination.write_mode import Mode
from arrowstream.io.files.epochs.folder import EpochFolder
from arrowstream.io.files.epochs.text_file import EpochTextFile
from arrowstream.io.files.epochs.writer import EpochWriter
from arrowstream.io.files.formats import a_file


def check_grows(output: ResolvedSink, label: str) -> None:
    """Raise PlanError if a sink cannot show its rows epoch by epoch.

    Parameters
    ----------
    output
        What the sink writes.
    label
        The sink's label.
    """
    if output.place == "stream":
        raise PlanError(
            "a pipe or device cannot take part in checkpoints: what it has got cannot be taken back",
            stage=label,
            expected="a folder of part files, or a CSV or NDJSON file",
            found=str(output.target),
            hint='write part files, Sink.to_file("out/"); or run without checkpoint=',
        )
    check_keeps(output.mode, label)
    kind = output.kind.format
    packed = "" if output.compression is None or kind == "parquet" else ", if it is compressed"
    if output.place == "file" and (kind not in ("csv", "ndjson") or output.compression is not None):
        raise PlanError(
            f"{a_file(kind)} cannot grow from checkpoint to checkpoint{packed}",
            stage=label,
            expected="a folder of part files, or a CSV or NDJSON file that is not compressed",
            found=f"{a_file(kind)} {output.target.name}",
            hint=f"write part files into a folder: the path {output.target.name.partition('.')[0]}/, with "
            f"format={kind!r}" + (f" and compression={output.compression!r}" if packed else ""),
        )


def check_keeps(mode: Mode, label: str) -> None:
    """Raise PlanError if a mode replaces rows that are there.

    Parameters
    ----------
    mode
        The mode of the sink.
    label
        The sink's label.
    """
    if mode not in ("append", "error"):
        raise PlanError(
            f"mode={mode!r} replaces what the checkpoints before have shown",
            stage=label,
            expected="mode='append', which is the default with checkpoints, or mode='error'",
            found=f"mode={mode!r}",
            hint="leave mode and overwrite out; to begin again, remove the target and the checkpoint folder",
        )


def guarantee(output: ResolvedSink) -> str:
    """Return the guarantee of a sink in a run with checkpoints."""
    if output.place == "folder":
        return "exactly once: part files of an epoch appear after its checkpoint, each by one rename"
    return (
        "exactly once: the rows of an epoch are appended after its checkpoint; a reader may see the last ones "
        "half-written, and after a kill until the next run"
    )


def open_epochs(output: ResolvedSink, schema: pl.Schema, context: StepContext) -> EpochWriter:
    """Start writing what becomes visible epoch by epoch; `recover` of the writer looks at the target.

    Parameters
    ----------
    output
        What the sink writes.
    schema
        Schema of the batches.
    context
        The context of the sink, with the checkpoints of the run.
    """
    checkpoint = context.checkpoint
    assert checkpoint is not None
    if output.place == "folder":
        folder = EpochFolder(output, schema, partial(output.encoder, context), checkpoint)
        return EpochWriter(folder, output.limits.roll_every_s)
    file = EpochTextFile(
        output,
        schema,
        lambda header, newline: output.encoder(context, schema, header=header, newline=newline),
        checkpoint,
    )
    return EpochWriter(file, None)
