"""`GpuProcessor`: the kernels of one step of `process_gpu`, and what computes the same without a GPU."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from dataclasses import fields as fields_of
from typing import Any

import polars as pl

from arrowstream.core.checks import check_whole
from arrowstream.core.mistakes.explain import explain_calls
from arrowstream.core.schemas import SchemaLike
from arrowstream.errors import PlanError
from arrowstream.gpu.custom.kernel import Kernel, kernel

WARP = 32
"""Threads that a GPU runs in step."""

MOST_THREADS = 1_024
"""The largest block that a GPU takes."""


@explain_calls
@dataclass(frozen=True, slots=True)
class GpuProcessor:
    """Kernels that compute columns on a GPU, row by row, for `process_gpu`. Immutable: each call returns another one.

    Parameters
    ----------
    device
        Number of the GPU, from 0.

    Raises
    ------
    PlanError
        `device` is not a whole number of at least 0.

    Examples
    --------
    >>> import polars as pl
    >>> from arrowstream.gpu import GpuProcessor
    >>> source = '''
    ... extern "C" __global__ void scale(const double* x, double* z, long long n) {
    ...     long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    ...     if (i < n) z[i] = 2.0 * x[i];
    ... }
    ... '''
    >>> GpuProcessor(device=0).kernel(source, "scale", inputs=["x"], outputs={"z": pl.Float64}).block_size(128)
    GpuProcessor(device=0, scale(x) -> z, block_size=128)
    """

    device: int = 0
    kernels: tuple[Kernel, ...] = field(default=(), init=False)
    threads: int = field(default=256, init=False)
    cpu_twin: Callable[[pl.DataFrame], Any] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        check_whole("GpuProcessor(device)", self.device, least=0)

    def kernel(
        self,
        source: str | Callable[..., Any],
        name: str | None = None,
        *,
        inputs: str | Iterable[str],
        outputs: SchemaLike,
    ) -> GpuProcessor:
        """Add a kernel, which may read what those before it have written.

        A kernel is launched with one thread for each row and some more, and computes the outputs of its row from
        the inputs of the same row: rows come in batches that are cut anywhere, so it must not look at others.

        Its parameters are pointers to the values of the inputs, then of the outputs, in the order of `inputs` and
        `outputs`, then the number of rows: for ``inputs=["x"], outputs={"z": pl.Float64}``, x being Int32,
        ``(const int* x, double* z, long long n)``. Names are free, only another column's is refused. A value of a
        Boolean is a ``bool``, of a Date an ``int`` (days since 1970), of a Datetime or a Duration a ``long long`` of
        its unit; numbers are what C++ calls them. Text, lists, decimals and categories have no pointer.

        A row with a null in an input is null in all outputs. A kernel that has another rule declares, after the
        pointer of an input, ``const bool* x_valid``, false where x is null (and the value of x any). After the
        pointer of an output it may declare ``bool* z_valid`` and write there for each row whether z is not null.
        What a kernel does not write is 0, and null where it has declared that pointer.

        Parameters
        ----------
        source
            CUDA C++ source text with a function ``extern "C" __global__ void``; the compiler has no
            header files. Or a Python function that numba compiles, whose parameters are arrays, without the number of
            rows: ``def scale(x, z): i = cuda.grid(1); ...``, after ``from numba import cuda``.
        name
            The name of the kernel in the source. A Python function has its own, in place of which this one is shown.
        inputs
            Names of the columns that it reads.
        outputs
            Names and types of the columns that it writes: new ones, or others in place of those of the same name.

        Returns
        -------
        GpuProcessor
            A new processor.

        Raises
        ------
        PlanError
            The source is neither text nor a function, or its name or columns are missing.
        SchemaError
            An output has a type that a kernel cannot write.

        Examples
        --------
        >>> import polars as pl
        >>> from arrowstream.gpu import GpuProcessor
        >>> source = '''
        ... extern "C" __global__ void or_zero(const double* x, const bool* x_valid, double* z, long long n) {
        ...     long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x;
        ...     if (i < n) z[i] = x_valid[i] ? x[i] : 0.0;
        ... }
        ... '''
        >>> GpuProcessor().kernel(source, "or_zero", inputs=["x"], outputs={"z": pl.Float64})
        GpuProcessor(device=0, or_zero(x) -> z, block_size=256)
        """
        return self._with(kernels=(*self.kernels, kernel(source, name, inputs, outputs)))

    def block_size(self, threads: int) -> GpuProcessor:
        """Set the number of threads that a block has, for all kernels; 256 without it.

        Parameters
        ----------
        threads
            A multiple of 32, at most 1024: a GPU runs 32 threads in step, so that those of a block which are
            less than that would idle, and takes no larger blocks. In a block of more than 256 threads, each may use
            fewer registers.

        Returns
        -------
        GpuProcessor
            A new processor.

        Raises
        ------
        PlanError
            No GPU takes such a block, or it would idle in part.
        """
        check_whole("block_size(threads)", threads)
        if threads % WARP or threads > MOST_THREADS:
            near = min(max(round(threads / WARP), 1) * WARP, MOST_THREADS)
            raise PlanError(
                "block_size(threads) does not fit a GPU, which runs 32 threads in step and 1024 in a block at most",
                expected="a multiple of 32, from 32 to 1024",
                found=str(threads),
                hint=f"write block_size({near})",
            )
        return self._with(threads=int(threads))

    def on_cpu(self, fn: Callable[[pl.DataFrame], Any]) -> GpuProcessor:
        """Set what computes the same where no GPU is, or where it has no room.

        Parameters
        ----------
        fn
            Called with a Polars frame of the columns that the kernels read, for each batch; returns a frame of all
            columns that they write.

        Returns
        -------
        GpuProcessor
            A new processor.

        Raises
        ------
        PlanError
            `fn` can't be called.
        """
        if not callable(fn):
            raise PlanError("on_cpu() needs a function", expected="fn(frame)", found=repr(fn))
        return self._with(cpu_twin=fn)

    @property
    def inputs(self) -> tuple[str, ...]:
        """The columns that the kernels read and no kernel before has written, in their order."""
        found: dict[str, None] = {}
        written: set[str] = set()
        for each in self.kernels:
            found.update(dict.fromkeys(name for name in each.inputs if name not in written))
            written.update(each.output_schema)
        return tuple(found)

    @property
    def outputs(self) -> dict[str, pl.DataType]:
        """The columns that the kernels write, the last type of each."""
        return {name: dtype for each in self.kernels for name, dtype in each.outputs}

    def _with(self, **changes: Any) -> GpuProcessor:
        made = GpuProcessor(self.device)
        for each in fields_of(self):
            object.__setattr__(made, each.name, changes.get(each.name, getattr(self, each.name)))
        return made

    def __repr__(self) -> str:
        said = [f"device={self.device}", *map(str, self.kernels), f"block_size={self.threads}"]
        return f"GpuProcessor({', '.join(said)})"
