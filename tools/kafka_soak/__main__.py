"""Rebalances and a restart under load: ``python -m tools.kafka_soak``, with ``tests`` in PYTHONPATH.

In each round a million messages of every codec are written to 8 partitions and read by a group of two members. A
third member joins and leaves each second, and the server is killed and started again in the middle. With
``--minutes``, two more rounds have a sink half as fast as its source, for this time each: one with messages that
compress well, one with others. Exits with 1 if a message is missing or came twice without a rebalance, if no row
comes for a minute, or if memory grows.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
import tempfile
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final

from servers.kafka import KafkaServer, is_installed

from tools.kafka_soak.rounds import Round
from tools.kafka_soak.slow_sink import MESSAGE_BYTES, SlowSink
from tools.kafka_soak.written import CODECS, Body

_BODIES: Final = {
    "messages that do not compress": Body(MESSAGE_BYTES, MESSAGE_BYTES),
    "messages that compress well": Body(MESSAGE_BYTES, 25, CODECS[1:]),
}
"""What the messages for a slow sink are made of."""


def main() -> int:
    """Run the rounds; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--messages", type=int, default=1_000_000, help="messages of each round")
    parser.add_argument("--minutes", type=float, default=0, help="time of a slow sink, twice")
    parser.add_argument("--log", help="file for the logs of arrowstream and aiokafka")
    options = parser.parse_args()
    if not is_installed():
        print(
            "Apache Kafka is not installed: make test fetches it where Maven (mvn) and Java 17 are installed"
        )
        return 1
    if options.log:
        logging.basicConfig(
            filename=options.log, level=logging.INFO, format="%(asctime)s %(name)s %(message)s"
        )
    else:
        logging.disable(logging.CRITICAL)
    failed = 0
    for number in range(1, options.rounds + 1):
        failed += _failed(f"round {number}", lambda server: Round(server, options.messages).go())
    for name, body in _BODIES.items() if options.minutes else ():

        def slow_sink(server: KafkaServer, body: Body = body) -> Coroutine[Any, Any, str]:
            return SlowSink(server, options.minutes, body).go()

        failed += _failed(f"slow sink, {name}", slow_sink)
    return 1 if failed else 0


def _failed(name: str, run: Callable[[KafkaServer], Coroutine[Any, Any, str]]) -> int:
    """Run something with a server of its own, and print what it found; return 1 if that is wrong."""
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        server = KafkaServer.new(Path(folder))
        try:
            print(f"{name}: {asyncio.run(_called(run, server))}", flush=True)
        except* Exception as wrong:
            print(f"{name}: WRONG: {'; '.join(map(str, wrong.exceptions))}", flush=True)
            failed = 1
        finally:
            server.stop()
    return failed


async def _called(run: Callable[[KafkaServer], Coroutine[Any, Any, str]], server: KafkaServer) -> str:
    return await run(server)


if __name__ == "__main__":
    sys.exit(main())
