"""The loop of one task: read an element, run the stage, pass on what comes out."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from arrowstream.batch import Batch, Element
from arrowstream.runtime.stage import RunningStage

Read = Callable[[], Awaitable[Element | None]]
Emit = Callable[[Element], Awaitable[None]]

TURN_SECONDS = 0.005
"""How long a task may go on without waiting before the loop's other tasks get a turn.

Between ends in memory nothing ever waits, so `stop`, timers and everything else on the loop would starve.
"""


async def drive(read: Read, stage: RunningStage | None, emit: Emit, end: Callable[[], None]) -> None:
    """Move elements from `read` through `stage` to `emit` until the stream ends, then call `end`.

    Marks keep their place among the batches. Batches without rows are not passed on. If anything fails, `end` is not
    called: the next task must never take a failure for the end of the stream.
    """
    loop = asyncio.get_running_loop()
    turn_ends = loop.time() + TURN_SECONDS
    while (element := await read()) is not None:
        if stage is None:
            await emit(element)
        elif isinstance(element, Batch):
            for out in await stage.process(element):
                if not isinstance(out, Batch) or out.num_rows:
                    await emit(out)
        else:
            for out in await stage.on_mark(element):
                await emit(out)
        if loop.time() >= turn_ends:
            await asyncio.sleep(0)
            turn_ends = loop.time() + TURN_SECONDS
    if stage is not None:
        for out in await stage.finish():
            await emit(out)
    end()
