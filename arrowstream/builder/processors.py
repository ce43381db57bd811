"""The steps of the builder that run a user's code with state, on workers, on a GPU, or in place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from arrowstream.builder.base import GraphBuilder
from arrowstream.core.mistakes.explain import explain_calls
from arrowstream.operators.process import Processor, ProcessorStep

if TYPE_CHECKING:
    from arrowstream.core.schemas import SchemaLike
    from arrowstream.gpu.custom.processor import GpuProcessor
    from arrowstream.operators.functions.frame_forms import FrameForm
    from arrowstream.operators.parallel_map import Executor
    from arrowstream.operators.zero_copy.columns import ZeroCopyColumns


@explain_calls
@dataclass(frozen=True, slots=True)
class ProcessorSteps(GraphBuilder):
    """Steps that run a user's code with state, on workers, or in place."""

    def process(self, processor: Processor | Callable[[], Processor]) -> Self:
        """Transform batches by a `Processor`: a class of the user's, with state and resources.

        Parameters
        ----------
        processor
            A class or a function without parameters gives every run a fresh processor. All runs share an instance:
            it keeps its state from run to run, and can be read afterwards.

        Returns
        -------
        Builder
            A new builder, with this step at the end.

        Raises
        ------
        PlanError
            `processor` neither is nor gives a `Processor`.
        SchemaError
            The output has another schema than `Processor.output_schema` says; narrower types are
            widened.

        Notes
        -----
        Runs as a stage. Costs a coroutine for each batch, some 10 us, and the work of the processor. It runs on the
        event loop, so long computations hold up everything else; move them to `parallel_map`, or to
        ``asyncio.to_thread`` inside the processor. Holds what the processor holds.

        A processor that defines `finish` may hold rows. So it holds watermarks back, until the end of the stream
        unless it defines `on_watermark`; and it never passes on that a source is idle.

        Examples
        --------
        >>> import polars as pl
        >>> from arrowstream import Pipeline, Processor, Source
        >>> class Numbered(Processor):
        ...     def __init__(self):
        ...         self.seen = 0
        ...     def output_schema(self, schema):
        ...         return pl.Schema({**schema, "number": pl.Int64})
        ...     async def process(self, batch):
        ...         numbers = pl.Series("number", range(self.seen, self.seen + batch.num_rows), pl.Int64)
        ...         self.seen += batch.num_rows
        ...         return pl.from_arrow(batch).with_columns(numbers)
        ...     def snapshot(self):
        ...         return pl.DataFrame({"seen": [self.seen]})
        ...     def restore(self, state):
        ...         self.seen = state["seen"][0].as_py()
        >>> source = Source.from_frame([pl.DataFrame({"x": ["a", "b"]}), pl.DataFrame({"x": ["c"]})])
        >>> Pipeline.builder().source(source).process(Numbered).collect_sync().rows()
        [('a', 0), ('b', 1), ('c', 2)]
        """
        return self._then(ProcessorStep(processor))

    def process_gpu(self, processor: GpuProcessor) -> Self:
        """Compute columns by kernels that the user writes, on a GPU.

        Columns that no kernel writes pass unchanged, and go round the GPU. Rows stay one for one.

        Parameters
        ----------
        processor
            The kernels, in CUDA C++ or Python, and what computes the same where no GPU is.

        Returns
        -------
        Builder
            A new builder, with this step at the end.

        Raises
        ------
        PlanError
            `processor` is not a `GpuProcessor` or has no kernel; a kernel does not compile, or has other parameters
            than its columns need; or there is neither a GPU nor a function for the CPU.
        SchemaError
            A kernel reads a column that is missing or has a type that it cannot read, or the function for the CPU
            returned other columns than the kernels write.
        MissingExtra
            There is a GPU, but no compiler for the kernels.
        StageError
            The GPU could not compute a batch, and there is no function for the CPU.

        Notes
        -----
        Runs as a stage. Costs an upload of the columns that the kernels read, a launch for each kernel, and a
        download of the columns that they write; between steps that run on the GPU, too, rows stay there. So that it
        pays, gather rows by ``batch(rows=...)`` before it. Holds nothing between batches. If the GPU has no room for
        a batch, each half is computed for itself, and in the end the function for the CPU does it. A failure of a
        kernel, such as a write outside of its columns, can end all work on the GPU until the process ends.

        Kernels are compiled when the pipeline is built, with or without a GPU. Multiplications and additions may be
        contracted, so that floats can differ in their last digit from those of the CPU.

        Examples
        --------
        >>> import polars as pl
        >>> from arrowstream import Pipeline, Source
        >>> from arrowstream.gpu import GpuProcessor
        >>> source = '''
        ... extern "C" __global__ void fahrenheit(const double* celsius, double* degrees, long long n) {
        ...     long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x;
        ...     if (i < n) degrees[i] = celsius[i] * 1.8 + 32.0;
        ... }
        ... '''
        >>> def on_cpu(frame):
        ...     return frame.select(degrees=pl.col("celsius") * 1.8 + 32.0)
        >>> processor = GpuProcessor(device=0).kernel(
        ...     source, "fahrenheit", inputs=["celsius"], outputs={"degrees": pl.Float64}
        ... )
        >>> frame = pl.DataFrame({"celsius": [-40.0, None, 100.0]})
        >>> steps = Pipeline.builder().source(Source.from_frame(frame)).batch(rows=2048)
        >>> steps.process_gpu(processor.block_size(256).on_cpu(on_cpu)).collect_sync().rows()
        [(-40.0, -40.0), (None, None), (100.0, 212.0)]
        """
        from arrowstream.operators.process_gpu import ProcessGpu

        return self._then(ProcessGpu(processor))

    def parallel_map(
        self,
        fn: Callable[[Any], Any],
        *,
        workers: int = 4,
        executor: Executor = "thread",
        frame: FrameForm = "arrow",
        schema: SchemaLike | None = None,
    ) -> Self:
        """Transform several batches at the same time by ``fn(batch)``.

        Results keep the order of the batches.

        Parameters
        ----------
        fn
            The function. An ``async def`` is awaited on the event loop; a plain one that takes long runs on
            a worker thread.
        workers
            Batches worked on at a time, at least 1.
        executor
            ``"thread"`` for functions that release the interpreter's lock (Polars, NumPy, Arrow, a network);
            ``"process"`` for pure Python: rows travel to spawned processes and back as Arrow IPC, `fn`
            itself once, by pickle, so it must be importable: defined with ``def`` in a module. A script that
            uses it needs ``if __name__ == "__main__":``. An ``async def`` is awaited on the event loop,
            `workers` calls at a time, without threads.
        frame
            The form of the batch that `fn` gets: ``"arrow"`` (a `pyarrow.RecordBatch`), ``"polars"``, ``"pandas"``
            (with Arrow's types, so that integers with nulls stay integers) or ``"cudf"``.
        schema
            Names and types of what `fn` returns: a schema of Polars or pyarrow, pairs, or a dict. Without it, `fn`
            is called with a batch without rows when the pipeline is built, and the schema is that of its result.

        Returns
        -------
        Builder
            A new builder, with this step at the end.

        Raises
        ------
        PlanError
            `workers` is below 1, `executor` or `frame` is unknown, `fn` cannot be called or cannot be pickled for a
            process, or the schema cannot be learnt.
        StageError
            A worker process died; the error says which, and how. The run ends, and the other workers with it.
        MissingExtra
            The library of `frame` is not installed.
        SchemaError
            `fn` returns other columns or types than its schema says; narrower types are widened.

        Notes
        -----
        Runs as a stage. Costs a hop to a thread and back for each batch, 60 to 110 us; with processes also a copy
        of its rows each way, and once the start of the workers, each of which imports Polars. Holds `workers`
        batches that are worked on and as many more that wait for their turn to come out.

        Examples
        --------
        >>> import polars as pl
        >>> from arrowstream import Pipeline, Source
        >>> def doubled(frame):
        ...     return frame.with_columns(pl.col("x") * 2)
        >>> source = Source.from_frame([pl.DataFrame({"x": [1, 2]}), pl.DataFrame({"x": [3]})])
        >>> steps = Pipeline.builder().source(source).parallel_map(doubled, workers=2, frame="polars")
        >>> steps.collect_sync()["x"].to_list()
        [2, 4, 6]
        """
        from arrowstream.operators.parallel_map import ParallelMap

        return self._then(ParallelMap(fn, frame, schema, workers=workers, executor=executor))

    def map_zero_copy(self, *fns: Callable[[ZeroCopyColumns], Any]) -> Self:
        """Change columns in place as NumPy arrays.

        A column is copied once, when a function first asks for it, into memory that only this step holds. From then
        on all functions of the step, and of neighbours of its kind, work on that copy in place, and it leaves as an
        Arrow column without another copy. Memory that the user, a source or another branch holds never changes, and
        an error handler tries again with the original rows: Arrow does not know who else reads a buffer, so the
        step never writes into memory that it did not allocate. The memory is reused for a later batch once no array
        or column over it is alive, the user's included.

        Parameters
        ----------
        fns
            Called in turn with a `ZeroCopyColumns`: a mapping from column names to writable arrays, with
            ``valid(name)`` for where a column is not null. A function returns None or one of these arrays, as
            `numpy.multiply` with ``out=`` does.

        Returns
        -------
        Builder
            A new builder, with this step at the end.

        Raises
        ------
        PlanError
            No function is given, or one is async.
        SchemaError
            No column has an array: bits, text and nested values cannot be changed in place.
        NoArray
            A function asks for a column that has no array, or that is missing; also a KeyError.
        TypeError
            A function returns another array: it did not work in place.

        Notes
        -----
        Runs as a stage, together with neighbours of its kind. Costs some 40 us a batch and one copy of the columns
        that functions ask for; the others are not copied, and work in place costs no memory. Holds up to 8 buffers
        for reuse, each as large as the columns of the largest batch.

        Examples
        --------
        >>> import polars as pl
        >>> from arrowstream import Pipeline, Source
        >>> def doubled(columns):
        ...     columns["x"] *= 2
        >>> frame = pl.DataFrame({"x": [1, 2, None], "name": ["a", "b", "c"]})
        >>> Pipeline.builder().source(Source.from_frame(frame)).map_zero_copy(doubled).collect_sync().rows()
        [(2, 'a'), (4, 'b'), (None, 'c')]
        >>> frame["x"].to_list()
        [1, 2, None]
        """
        from arrowstream.operators.map_zero_copy import MapZeroCopy

        return self._then(MapZeroCopy(fns))
