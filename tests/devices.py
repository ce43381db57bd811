"""A backend with a memory of its own, without a device: it logs what crosses over and what it computes."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import polars as pl
import pyarrow as pa

from arrowstream.backends.base import Backend, DeviceEvaluator, Evaluator, Frames, TransferCost
from arrowstream.backends.registry import register_backend, unregister_backend
from arrowstream.config.settings import Settings
from arrowstream.core.batch import Batch, to_frame, to_record
from arrowstream.core.rows.forms import Form, register_form
from arrowstream.expressions.program import Call, Cast, Column, Expression, Filter, Program, Project, Refusal

LOG: list[tuple[str, int]] = []
"""Uploads, downloads and computations in order, each with its number of rows."""

ROOM: list[int] = []
"""The most rows that each of the next uploads may have; without a number it may have any."""

LOST: list[Batch] = []
"""Batches that cannot be brought."""

NO_WAY_BACK: list[BaseException] = []
"""What each of the next downloads raises."""


@dataclass(frozen=True)
class DeviceRows:
    """Rows in the memory of the device, which only the functions of its form look into."""

    frame: pl.DataFrame


def _upload(record: pa.RecordBatch) -> DeviceRows:
    if ROOM and record.num_rows > ROOM.pop(0):
        LOG.append(("no room", record.num_rows))
        raise MemoryError
    LOG.append(("upload", record.num_rows))
    return DeviceRows(to_frame(record))


def _download(rows: DeviceRows) -> pa.RecordBatch:
    if NO_WAY_BACK:
        raise NO_WAY_BACK.pop()
    LOG.append(("download", rows.frame.height))
    return to_record(rows.frame)


FORM = Form(
    "device",
    DeviceRows,
    from_arrow=_upload,
    to_arrow=_download,
    num_rows=lambda rows: rows.frame.height,
    nbytes=lambda rows: int(rows.frame.estimated_size()),
    slice=lambda rows, offset, length: DeviceRows(rows.frame.slice(offset, length)),
)


class Selective(DeviceEvaluator):
    """An evaluator that brings only some columns: it logs which."""

    def __init__(self, evaluate: Evaluator, reads: frozenset[str], passed: dict[str, str]) -> None:
        self.evaluate = evaluate
        self._reads = reads
        self._passed = passed

    @property
    def reads(self) -> frozenset[str]:
        return self._reads

    @property
    def passed(self) -> dict[str, str]:
        return self._passed

    def look_ahead(self, names: Iterable[str]) -> None:
        self.ahead = frozenset(names)

    def bring(self, batch: Batch) -> int:
        if any(batch.position == lost.position for lost in LOST):
            raise RuntimeError("the device has lost it")
        try:
            rows = batch.form("device")
        except MemoryError:
            return 0
        columns = sorted(self.reads | self.ahead)
        LOG[-1] = (f"upload {','.join(columns)}", batch.num_rows)
        return int(rows.frame.select(columns).estimated_size())

    def __call__(self, batch: Batch) -> Batch:
        return self.evaluate(batch)


@dataclass
class DeviceBackend(Backend):
    """A backend that computes on the device whatever Polars computes, except for strings.

    Its `least_rows` is the setting `gpu_batch_size` if it `follows_settings`. If it is `selective`, its evaluators
    bring only the columns that a program reads.
    """

    name = "device"
    form = "device"
    upload_cost = TransferCost(10.0, 0.0, 2e-5)
    download_cost = TransferCost(10.0, 0.0, 2e-5)
    start: tuple[float, float] = (30.0, 1e-5)
    least_rows: int = 0
    follows_settings: bool = False
    selective: bool = False

    def __post_init__(self) -> None:
        self.start_cost = self.start

    def with_settings(self, settings: Settings) -> "DeviceBackend":
        return replace(self, least_rows=settings.gpu_batch_size) if self.follows_settings else self

    def prepare(self, segment: Frames, program: Program | Refusal) -> Evaluator | Refusal:
        if any(dtype == pl.String for dtype in segment.schema.dtypes()):
            return Refusal(("no strings on the device",))

        def evaluate(batch: Batch) -> Batch:
            try:
                frame = batch.form("device").frame
            except MemoryError:  # as a device that is full: the host computes
                LOG.append(("host", batch.num_rows))
                return batch.with_rows(segment.apply_lazy(batch.polars().lazy()).collect())
            LOG.append(("compute", frame.height))
            return batch.with_rows(DeviceRows(segment.apply_lazy(frame.lazy()).collect()))

        if not self.selective or isinstance(program, Refusal):
            return evaluate
        return Selective(evaluate, *used(program))


def used(program: Program) -> tuple[frozenset[str], dict[str, str]]:
    """The columns of the input that a program computes with, and those that come out unchanged."""
    origins = {name: name for name in program.input.names}
    reads: set[str] = set()
    for step in program.steps:
        values = [step.predicate] if isinstance(step, Filter) else []
        if isinstance(step, Project):
            values = [value for _, value in step.columns if not isinstance(value, Column)]
        reads |= {origins[name] for value in values for name in columns_of(value) if name in origins}
        if isinstance(step, Project):
            passed = {name: value.name for name, value in step.columns if isinstance(value, Column)}
            origins = {name: origins[source] for name, source in passed.items() if source in origins}
    return frozenset(reads), origins


def columns_of(value: Expression) -> list[str]:
    if isinstance(value, Column):
        return [value.name]
    if isinstance(value, Cast):
        return columns_of(value.input)
    arguments = value.arguments if isinstance(value, Call) else ()
    return [name for argument in arguments for name in columns_of(argument)]


@contextmanager
def device(backend: DeviceBackend | None = None) -> Iterator[list[tuple[str, int]]]:
    """Register the device for a while; give its log."""
    LOG.clear()
    ROOM.clear()
    NO_WAY_BACK.clear()
    LOST.clear()
    register_form(FORM)
    register_backend(backend or DeviceBackend())
    try:
        yield LOG
    finally:
        unregister_backend("device")
