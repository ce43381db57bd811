"""Waiting for work that cannot be interrupted, and the event loop that waiting would block."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any


async def until_done(futures: Iterable[asyncio.Future[Any]]) -> None:
    """Wait until all futures are done, with or without failure, even if the caller is cancelled meanwhile.

    Raises
    ------
    CancelledError
        The caller was cancelled; raised only once all futures are done.
    """
    waiting = {future for future in futures if not future.done()}
    cancelled: asyncio.CancelledError | None = None
    while waiting:
        try:
            await asyncio.wait(waiting)
        except asyncio.CancelledError as error:
            cancelled = error
        waiting = {future for future in waiting if not future.done()}
    if cancelled is not None:
        raise cancelled


def running_loop() -> asyncio.AbstractEventLoop | None:
    """Return the event loop that runs on this thread, or None."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
