"""Scripted ends and operators: they do what a test says and note what was asked of them."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import polars as pl
import pyarrow as pa

from arrowstream.core.batch import Batch
from arrowstream.core.snapshot_store import SourcePosition
from arrowstream.core.step_context import StepContext
from arrowstream.io.sink import SinkSpec
from arrowstream.io.source import BlockingReader, Query, Reader, SourceSpec
from arrowstream.io.writer import BlockingWriter, Handle, Writer
from arrowstream.operators.base import Operator, Process

COMMITTED = ("prepare", "commit", "close")
"""The last calls of a sink whose run went well."""


class Ledger:
    """What a scripted end was asked to do."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.rows: list[int] = []


class ScriptedReader(BlockingReader):
    def __init__(self, ledger: Ledger, script: list[Any]) -> None:
        self._ledger = ledger
        self._script = iter(script)
        self.fails_to_close = False

    def read(self) -> Batch | None:
        item = next(self._script, None)
        if isinstance(item, Exception):
            raise item
        if callable(item):
            item = item()
        return item

    def close(self) -> None:
        self._ledger.calls.append("close")
        if self.fails_to_close:
            raise OSError("no close today")


class CountingReader(ScriptedReader):
    """One that looks at 10 rows for each batch it hands out, and would at 60 in all."""

    def __init__(self, ledger: Ledger, script: list[Any]) -> None:
        super().__init__(ledger, script)
        self._looked_at = 0

    def read(self) -> Batch | None:
        self._looked_at += 10
        return super().read()

    @property
    def rows_read(self) -> int | None:
        return self._looked_at

    @property
    def total_rows(self) -> int | None:
        return 60


class BlockingSource(SourceSpec):
    """A blocking source over a script of batches, exceptions and callables that give a batch."""

    def __init__(self, schema: pl.Schema, script: list[Any], counts: bool = False, fail_in: str = "") -> None:
        self._fail_in = fail_in
        self.ledger = Ledger()
        self._counts = counts
        self._schema = schema
        self._script = script

    @property
    def label(self) -> str:
        return "blocking"

    def schema(self) -> pl.Schema | None:
        return self._schema

    def open(
        self, context: StepContext, query: Query | None = None, resume: SourcePosition | None = None
    ) -> Reader | BlockingReader:
        self.ledger.calls.append("open")
        if self._fail_in == "open":
            raise OSError("no open today")
        reader = (CountingReader if self._counts else ScriptedReader)(self.ledger, self._script)
        reader.fails_to_close = self._fail_in == "close"
        return reader


class LedgerSink(SinkSpec):
    """Records what happens to it, fails where it is told to, and blocks or not."""

    def __init__(self, blocking: bool, fail_in: str = "", error: type[BaseException] = OSError) -> None:
        self._error = error
        self.ledger = Ledger()
        self._blocking = blocking
        self._fail_in = fail_in

    @property
    def label(self) -> str:
        return "ledger"

    @property
    def guarantee(self) -> str:
        return "none"

    def check(self, schema: pl.Schema) -> None: ...

    def note(self, call: str) -> None:
        self.ledger.calls.append(call)
        if call in self._fail_in.split():
            raise self._error(f"no {call} today")

    def open(self, schema: pl.Schema, context: StepContext) -> Writer | BlockingWriter:
        self.note("open")
        return _LedgerBlockingWriter(self) if self._blocking else _LedgerWriter(self)


class _LedgerWriter(Writer):
    def __init__(self, sink: LedgerSink) -> None:
        self._sink = sink

    async def write(self, batch: Batch) -> None:
        self._sink.note("write")
        self._sink.ledger.rows += batch.polars().to_series().to_list()

    async def prepare(self, epoch: int) -> Handle:
        self._sink.note("prepare")
        return {"epoch": epoch}

    async def commit(self, handle: Handle) -> None:
        assert handle == {"epoch": 0}
        self._sink.note("commit")

    async def close(self) -> None:
        self._sink.note("close")

    async def abort(self) -> None:
        self._sink.note("abort")


class _LedgerBlockingWriter(BlockingWriter):
    def __init__(self, sink: LedgerSink) -> None:
        self._sink = sink

    def write(self, batch: Batch) -> None:
        assert threading.current_thread() is not threading.main_thread()
        self._sink.note("write")
        self._sink.ledger.rows += batch.polars().to_series().to_list()

    def prepare(self, epoch: int) -> Handle:
        self._sink.note("prepare")
        return {"epoch": epoch}

    def commit(self, handle: Handle) -> None:
        assert handle == {"epoch": 0}
        self._sink.note("commit")

    def close(self) -> None:
        self._sink.note("close")

    def abort(self) -> None:
        self._sink.note("abort")


def publish(writer: BlockingWriter) -> None:
    """End a writer as a run does that went well."""
    writer.commit(writer.prepare(0))
    writer.close()


class ScriptedProcess(Process):
    """Passes batches through; subclasses change what a test is about."""

    def process(self, batch: Batch) -> list[Batch]:
        return [batch]

    def snapshot(self) -> Iterator[pa.RecordBatch]:
        return iter(())

    def restore(self, batches: Iterator[pa.RecordBatch]) -> None: ...

    def finish(self) -> list[Batch]:
        return []


class ScriptedOperator(Operator):
    """An operator of a test's own process; the schema does not change."""

    def __init__(self, name: str, start: Callable[[], Process]) -> None:
        self.name = name  # type: ignore[misc]
        self._start = start

    def output_schema(self, schema: pl.Schema) -> pl.Schema:
        return schema

    def start(self, schema: pl.Schema, context: StepContext) -> Process:
        return self._start()

    def describe(self) -> str:
        return f"{self.name}()"
