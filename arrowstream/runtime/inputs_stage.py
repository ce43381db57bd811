"""An operator with several inputs while it runs."""

from __future__ import annotations

from arrowstream.core.batch import Barrier, Batch, Watermark
from arrowstream.operators.base import MultiInputProcess
from arrowstream.plan.physical import InputsStage
from arrowstream.runtime.flow.port_queue import FromPort
from arrowstream.runtime.flow.ports import OutputPort
from arrowstream.runtime.operator_stage import RunningProcess, WriteLate
from arrowstream.runtime.resources import Resources


class RunningInputs(RunningProcess):
    """A running process that gets each element with its port."""

    __slots__ = ("_inputs",)

    def __init__(self, stage: InputsStage, resources: Resources, write_late: WriteLate | None) -> None:
        assert stage.operator is not None
        process = stage.operator.start(stage.schemas, resources.context(stage.name))
        super().__init__(stage.name, stage.state_id, stage.operator.name, process, resources, write_late)
        self._inputs: MultiInputProcess = process

    async def take(self, item: FromPort, output: OutputPort) -> None:
        """Process an element, or the end, of one port and emit the result."""
        element, port, process = item.element, item.port, self._inputs
        if isinstance(element, Batch):
            await self._from_port(element, port, output)
        elif element is None:
            await self._emit_made(lambda: process.on_end(port), output)
        elif isinstance(element, Barrier):
            await self._on_barrier(element, output)
            for side in self.sides:
                await side.send(element)
        else:
            self.counters.record_mark(element)
            if isinstance(element, Watermark):
                time_us = element.time_us
                await self._emit_made(lambda: process.on_watermark(time_us, port), output)
            else:
                await self._emit_made(lambda: process.on_idle(port), output)

    async def close(self) -> None:
        await super().close()
        del self._inputs

    async def _from_port(self, batch: Batch, port: int, output: OutputPort) -> None:
        """Emit what comes out for a batch in parts, each made once the one before is passed on."""
        self.finished = False
        process = self._inputs
        self.counters.rows_in += batch.num_rows
        self._ingest_ns = batch.ingest_ns
        busy_ns, taken_ns = await self._emit_made(lambda: process.process(batch, port), output, batch)
        self.counters.record_batch(self._kind, batch.num_rows, busy_ns, taken_ns)
