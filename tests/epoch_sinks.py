"""Sinks that are written to epoch by epoch as a run with checkpoints does, and killed anywhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import polars as pl
from contexts import context

from arrowstream.core.batch import Batch
from arrowstream.core.checkpoints.context import CheckpointContext
from arrowstream.core.checkpoints.failpoints import Failpoint, on_reach
from arrowstream.core.step_context import StepContext
from arrowstream.io.files.epochs.writer import EpochWriter
from arrowstream.io.sink import SinkSpec
from arrowstream.io.writer import Handle


class Killed(BaseException):
    """The process has ended."""


@contextmanager
def killed_at(point: Failpoint | None, hit: int) -> Iterator[None]:
    """End the block at the given hit of a failpoint, as a kill would."""
    hits = 0

    def reached(found: Failpoint) -> None:
        nonlocal hits
        if found is point:
            hits += 1
            if hits == hit:
                raise Killed

    with on_reach(reached):
        yield


@dataclass
class Job:
    """A sink of one job over its runs: what a coordinator of checkpoints would do with it, and no source.

    Rows are numbers: `rows` makes the frame of some of them.
    """

    sink: SinkSpec
    folder: Path
    rows: Callable[[int, int], pl.DataFrame]
    complete: list[tuple[int, int, Handle]] = field(default_factory=list)
    """Complete epochs: number, rows before its end, and handle."""
    attempt: int = 0
    epoch: int = 0
    writer: EpochWriter | None = None
    written: int = 0
    newest: int = 0
    """The newest epoch that was ever completed."""

    @property
    def context(self) -> StepContext:
        self.folder.mkdir(exist_ok=True, parents=True)
        return replace(
            context("sink"),
            checkpoint=CheckpointContext("job-5d0c9a4e", self.attempt, self.folder, self.newest),
        )

    @property
    def covered(self) -> int:
        """Rows before the end of the newest complete epoch."""
        return self.complete[-1][1] if self.complete else 0

    def start(self) -> EpochWriter:
        self.attempt += 1
        epoch, self.written, handle = self.complete[-1] if self.complete else (0, 0, None)
        self.writer = self.sink.with_checkpoints().open(self.rows(0, 0).schema, self.context)
        assert isinstance(self.writer, EpochWriter)
        self.writer.recover(epoch, handle)
        return self.writer

    def write(self, rows: int) -> None:
        assert self.writer is not None
        self.writer.write(Batch(self.rows(self.written, self.written + rows)))
        self.written += rows

    def checkpoint(self, meanwhile: int = 0) -> None:
        """Complete an epoch, with rows of the next one before its commit."""
        assert self.writer is not None
        self.epoch += 1
        covered = self.written
        handle = self.writer.prepare(self.epoch)
        self.complete.append((self.epoch, covered, handle))
        self.newest = self.epoch
        if meanwhile:
            self.write(meanwhile)
        self.writer.commit(handle)

    def kill(self) -> None:
        """Forget the writer, and end its threads, which a kill ends, too."""
        writer, self.writer = self.writer, None
        files: Any = writer and writer._files
        for sink in (*files._sinks, *files._ending) if files else ():
            sink.cancel()

    def play(self, script: list[Any], point: Failpoint | None = None, hit: int = 1) -> None:
        """Do what a script says in one run, which is killed at its end, or before at a failpoint.

        A number of rows is written; a pair is a checkpoint with rows before its commit; "prepare" and "complete" are
        checkpoints that get no further; "abort" and "close" end the run.
        """
        with suppress(Killed), killed_at(point, hit):
            writer = self.start()
            for step in script:
                if isinstance(step, int):
                    self.write(step)
                elif isinstance(step, tuple):
                    self.checkpoint(step[0])
                elif step == "abort":
                    writer.abort()
                    self.writer = None
                elif step == "close":
                    self.checkpoint()
                    writer.close()
                else:
                    self.epoch += 1
                    handle = writer.prepare(self.epoch)
                    if step == "complete":
                        self.complete.append((self.epoch, self.written, handle))
                        self.newest = self.epoch
                    break
        self.kill()
