"""Servers for benchmarks, as tests start them: a real Kafka where `make` has got one, else a broker in memory."""

from __future__ import annotations

import asyncio
import importlib
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

_TESTS = Path(__file__).parents[1] / "tests"


@asynccontextmanager
async def broker(*, real: bool) -> AsyncIterator[str]:
    """The address of a server that speaks Kafka's protocol, which ends with the block."""
    with tempfile.TemporaryDirectory() as folder:
        if real:
            server = await asyncio.to_thread(servers("kafka").KafkaServer.new, Path(folder))
        else:
            log = Path(folder) / "log"
            server = await asyncio.to_thread(servers("embedded_kafka").EmbeddedKafka.start, log)
        try:
            yield server.address
        finally:
            server.stop()


def is_installed() -> bool:
    """Whether a real Kafka can be started."""
    installed: bool = servers("kafka").is_installed()
    return installed


def servers(name: str) -> Any:
    """A module of the servers of the tests, which are no package of their own."""
    if str(_TESTS) not in sys.path:
        sys.path.append(str(_TESTS))
    return importlib.import_module(f"servers.{name}")
