"""Waiting for work that cannot be interrupted, and whether waiting would block an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any


async def until_done(futures: Iterable[asyncio.Future[Any]]) -> None:
    """Wait until all of these have ended, whatever they give, even if the caller is cancelled meanwhile.

    Raises
    ------
    CancelledError
        The caller was cancelled; raised only once all have ended.
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
    """The event loop that runs on this thread, if there is one."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
