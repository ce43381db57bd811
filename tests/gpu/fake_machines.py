"""A GPU with two streams, fake or real, and short ways to put values onto it and to read them back."""

from typing import Any

import pyarrow as pa


class Bench:
    """The packages of a GPU, a stream for uploads and one for work.

    Parameters
    ----------
    limit
        Bytes that may be allocated on a fake GPU.
    real
        Whether this is the GPU of this machine, and `machine` is None.
    """

    def __init__(self, limit: int | None = None, real: bool = False) -> None:
        self.machine: Any = None
        if real:
            import cupy
            import pylibcudf
            import rmm.pylibrmm.stream

            self.plc, self.rmm, self.cupy = pylibcudf, rmm, cupy
        else:
            # Imported here: it cannot be without pylibcudf, and then tests are skipped, not broken.
            from fake_gpu import Machine

            self.machine = Machine()
            self.plc, self.rmm, self.cupy = self.machine.plc, self.machine.rmm, self.machine.cupy
        if limit is not None:
            pool = self.rmm.mr.LimitingResourceAdaptor(self.rmm.mr.CudaAsyncMemoryResource(), limit)
            self.rmm.mr.set_current_device_resource(pool)
        self.copies, self.compute = self.stream(), self.stream()

    def stream(self) -> Any:
        streams = self.rmm.pylibrmm.stream
        return streams.Stream(flags=streams.CudaStreamFlags.NON_BLOCKING)

    def wait(self, waiting: Any, awaited: Any) -> None:
        """Let one stream wait for what another has to do."""
        event = self.cupy.cuda.Event(disable_timing=True)
        event.record(self.cupy.cuda.Stream.from_external(awaited))
        self.cupy.cuda.Stream.from_external(waiting).wait_event(event)

    def upload(self, batch: pa.RecordBatch, stream: Any = None) -> Any:
        return self.plc.Table.from_arrow(batch, stream=stream or self.compute)

    def column(self, values: Any, kind: pa.DataType | None = None) -> Any:
        """Return a column that is there: nothing is left to be waited for."""
        batch = pa.record_batch([values if isinstance(values, pa.Array) else pa.array(values, kind)], ["x"])
        column = self.upload(batch).columns()[0]
        self.compute.synchronize()
        return column

    def scalar(self, value: Any, kind: str | None = None) -> Any:
        return self.plc.Scalar.from_py(value, self.type(kind) if kind else None, stream=self.compute)

    def type(self, name: str) -> Any:
        return self.plc.DataType(self.plc.TypeId[name])

    def values(self, column: Any) -> list[Any]:
        found: list[Any] = column.to_arrow(stream=self.compute).to_pylist()
        return found

    def binary(self, name: str, left: Any, right: Any, out: str) -> list[Any]:
        operator = self.plc.binaryop.BinaryOperator[name]
        return self.values(
            self.plc.binaryop.binary_operation(left, right, operator, self.type(out), stream=self.compute)
        )

    def unary(self, name: str, column: Any) -> list[Any]:
        operator = self.plc.unary.UnaryOperator[name]
        return self.values(self.plc.unary.unary_operation(column, operator, stream=self.compute))

    def tree(self, columns: list[Any], expression: Any) -> Any:
        table = self.plc.Table(columns)
        return self.plc.transform.compute_column(table, expression, stream=self.compute)
