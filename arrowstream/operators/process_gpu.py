"""`process_gpu`: columns computed by kernels on a GPU that the user writes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import polars as pl
import pyarrow as pa

from arrowstream.backends.base import Evaluator
from arrowstream.config.settings import Settings
from arrowstream.core.batch import Batch
from arrowstream.core.notes import ReaderNote
from arrowstream.core.plural import counted
from arrowstream.core.rows.arrow_schema import arrow_schema
from arrowstream.core.rows.arrow_types import no_rows
from arrowstream.core.step_context import StepContext
from arrowstream.errors import MissingExtra, PlanError, SchemaError
from arrowstream.gpu.custom.compile import compile_kernels, output_schema
from arrowstream.gpu.custom.compiled import HOPPER
from arrowstream.gpu.custom.place import Place, place
from arrowstream.gpu.custom.processor import GpuProcessor
from arrowstream.operators.base import Operator, Process
from arrowstream.operators.functions.schema import conformed, function_name, not_awaited

_MISFIT = "the CPU twin of process_gpu() returned other columns or types than the kernels write"


@dataclass(frozen=True, slots=True)
class ProcessGpu(Operator):
    """Kernels on a GPU; their CPU twin where no GPU is.

    Parameters
    ----------
    processor
        The kernels.
    memory_mb
        Limit of the memory that batches may take on the GPU, in MiB; the setting ``gpu_memory_pool_mb``.
    leaves
        Whether rows are left on the GPU, for the next step.

    Raises
    ------
    PlanError
        `processor` is not a `GpuProcessor` or has no kernel; a kernel does not compile, or has other parameters
        than its columns need; there is neither a GPU nor a CPU twin.
    SchemaError
        A kernel reads a column that is missing or has a type that it cannot read, or the CPU twin returned other
        columns than the kernels write.
    MissingExtra
        There is a GPU, but no compiler for the kernels.
    """

    name: ClassVar[str] = "process_gpu"
    repeatable: ClassVar[bool] = True
    passes_rows_on: ClassVar[bool] = True
    processor: GpuProcessor
    memory_mb: int = 1_024
    leaves: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.processor, GpuProcessor):
            raise PlanError(
                "process_gpu() needs a processor",
                expected="GpuProcessor(device=0).kernel(source, name, inputs=..., outputs=...)",
                found=f"{type(self.processor).__name__} {self.processor!r}",
            )
        if not self.processor.kernels:
            raise PlanError(
                "process_gpu() has no kernel",
                expected="GpuProcessor(device=0).kernel(source, name, inputs=..., outputs=...)",
                found=repr(self.processor),
            )

    @property
    def at_hand(self) -> bool:
        return False  # to ask for the schema compiles the kernels, and opens the GPU

    @property
    def reads_in_place(self) -> tuple[str, ...] | None:
        # The steps before and after it run on the first GPU.
        return self.processor.inputs if not self.processor.device and self._place().device else None

    def leaving_rows(self) -> ProcessGpu:
        return replace(self, leaves=True)

    def with_settings(self, settings: Settings) -> ProcessGpu:
        return replace(self, memory_mb=settings.gpu_memory_pool_mb)

    def output_schema(self, schema: pl.Schema) -> pl.Schema:
        found = output_schema(self.processor, schema)
        where = self._place()
        try:
            compile_kernels(self.processor, schema, where.capability or HOPPER)
        except MissingExtra:
            # Without a GPU, a twin needs no compiler.
            if where.absent is None:
                raise
        if where.absent is not None and self.processor.cpu_twin is None:
            raise PlanError(
                "process_gpu() finds no GPU, and has no function for the CPU",
                expected="an NVIDIA GPU, or GpuProcessor(...).on_cpu(fn)",
                found=where.absent,
                hint="on_cpu(fn) sets a function of a frame that computes the same columns where no GPU is",
            )
        return found

    def start(self, schema: pl.Schema, context: StepContext) -> Process:
        where = self._place()
        output = arrow_schema(output_schema(self.processor, schema))
        twin = self.processor.cpu_twin
        on_cpu = None if twin is None else CpuTwin(self.processor, schema)
        if where.device is None:
            assert on_cpu is not None
            context.logger.info("process_gpu runs on the CPU: %s", where.absent)
            return KernelProcess(on_cpu, output, where.absent)
        # Only now, as it imports CUDA's libraries.
        from arrowstream.gpu.custom.launches import on_device

        assert where.capability is not None
        compiled = compile_kernels(self.processor, schema, where.capability)
        evaluate = on_device(
            where.device, self.processor, compiled, output, self.memory_mb, on_cpu, leaves=self.leaves
        )
        return KernelProcess(evaluate, output, None)

    def describe(self) -> str:
        return f"process_gpu({'; '.join(map(str, self.processor.kernels))})"

    @property
    def remark(self) -> str:
        absent = self._place().absent
        return f"runs on GPU {self.processor.device}" if absent is None else f"runs on the CPU: {absent}"

    def _place(self) -> Place:
        return place(self.processor.device, self.memory_mb)


class KernelProcess(Process):
    """The kernels, or their CPU twin, while they run.

    Parameters
    ----------
    evaluate
        Computes a batch that has rows.
    output
        The schema of the result.
    absent
        Why the CPU computes; None if the GPU does.
    """

    __slots__ = ("_absent", "_evaluate", "_first", "_output", "_rows")

    def __init__(self, evaluate: Evaluator, output: pa.Schema, absent: str | None) -> None:
        self._evaluate = evaluate
        self._output = output
        self._absent = absent
        self._rows = 0
        self._first = ""

    def process(self, batch: Batch) -> Iterable[Batch]:
        if not batch.num_rows:
            return (batch.with_rows(no_rows(self._output)),)
        before = self._left()
        found = self._evaluate(batch)
        rows = batch.num_rows if self._absent is not None else self._left() - before
        if rows and not self._rows:
            self._first = str(batch.position or "the first batch")
        self._rows += rows
        return (found,)

    def _left(self) -> int:
        """Return the number of rows that a GPU has left to the CPU, in calls from this thread."""
        return int(getattr(self._evaluate, "left_to_host", 0))

    @property
    def notes(self) -> tuple[ReaderNote, ...]:
        if not self._rows:
            return ()
        why = "which the GPU could not compute" if self._absent is None else f"as {self._absent}"
        what = f"rows of process_gpu computed on the CPU, {why}"
        return (ReaderNote(what, self._rows, self._first, lost=False),)

    def snapshot(self) -> Iterator[pa.RecordBatch]:
        return iter(())

    def restore(self, batches: Iterator[pa.RecordBatch]) -> None:
        """Ignore the snapshot: the step has no state."""

    def finish(self) -> Iterable[Batch]:
        return ()


class CpuTwin:
    """The function that computes what the kernels compute.

    Parameters
    ----------
    processor
        The kernels and the function.
    schema
        The schema of the rows that come in.
    """

    def __init__(self, processor: GpuProcessor, schema: pl.Schema) -> None:
        assert processor.cpu_twin is not None
        self._fn = processor.cpu_twin
        self._inputs = list(processor.inputs)
        self._outputs = pl.Schema(processor.outputs)
        self._target = arrow_schema(self._outputs)

    def __call__(self, batch: Batch) -> Batch:
        frame = batch.polars()
        found = self._computed(frame.select(self._inputs), batch)
        return batch.with_rows(frame.with_columns(found.get_columns()))

    def _computed(self, inputs: pl.DataFrame, batch: Batch) -> pl.DataFrame:
        result: Any = not_awaited(self._fn(inputs))
        hint = "cast inside the function, and select the columns that the kernels write"
        function = f"the function {function_name(self._fn)} for the CPU of process_gpu()"
        parts = conformed(result, batch, self._outputs, self._target, _MISFIT, hint, function)
        found = pl.concat([part.polars() for part in parts], rechunk=False)
        if found.height != inputs.height:
            raise SchemaError(
                f"{function} returned other rows than it got",
                expected=counted(inputs.height, "rows"),
                found=counted(found.height, "rows"),
            )
        return found
