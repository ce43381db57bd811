"""Decoding outside of a run."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

import pyarrow as pa

from arrowstream.core.memory_budget import MemoryBudget
from arrowstream.core.messages import Decoder
from arrowstream.core.step_context import StepContext
from arrowstream.testing import ManualClock
from tools.broken_files.judges import Row

T = TypeVar("T")


class _NoThreads:
    workers = 1

    async def call(self, function: Callable[..., T], *arguments: object) -> T:
        return function(*arguments)


def decode(decoder: Decoder, messages: pa.LargeBinaryArray) -> list[Row]:
    """Return the rows of messages."""
    context = StepContext(
        "decode", ManualClock(), MemoryBudget(), logging.getLogger("arrowstream"), _NoThreads()
    )
    decoding = decoder.open(context)
    try:
        return decoding.decode(messages).frame.to_dicts()
    finally:
        decoding.close()
