"""What clients send to a running TCP source: one of them damaged bytes, the other one sound ones at the same time."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from contextlib import suppress

import polars as pl

from arrowstream import ErrorHandler, Pipeline, Source, TcpLimits
from arrowstream.testing import TestSink
from tools.broken_files.judges import Refused, Row, same
from tools.broken_messages.tcp_streams import STREAMS, Stream


def make(number: int, seed: int) -> tuple[str, list[bytes], list[bytes]]:
    """Make what two clients send by its number: the name of the stream, and the pieces of each."""
    draw = random.Random(f"{seed} tcp {number}")
    name = draw.choice(sorted(STREAMS))
    return name, STREAMS[name].make(draw), [STREAMS[name].sound(draw)]


def verdict(number: int, seed: int) -> tuple[str, str]:
    """Try what two clients send; return what came of it in a word, and more about it."""
    name, *clients = make(number, seed)
    stream = STREAMS[name]
    rows, bad = list[Row](), list[bytes]()
    is_closed = False
    for pieces in clients:
        messages, wrong = stream.split(b"".join(pieces))
        is_closed |= wrong
        for message in messages:
            try:
                rows += stream.kind.wanted(message)
            except Refused:
                bad.append(message)
    try:
        found, refused, closed = asyncio.run(_received(stream, clients))
    except BaseException as error:
        return "untyped error", repr(error)
    strict = [message for message in refused if message not in bad]
    if closed != is_closed or len(refused) - len(strict) < len(bad):
        return "DIFFERENT", f"closed {closed}, not {is_closed}; refused {refused}, not {bad}"
    for message in strict:
        for row in stream.kind.wanted(message):
            rows.remove(row)
    for row in found:
        index = next((at for at, each in enumerate(rows) if same(row, each)), None)
        if index is None:
            return "DIFFERENT", f"read {row}, which is not in {rows}"
        del rows[index]
    if rows:
        return "DIFFERENT", f"did not read {rows}"
    if strict:
        return "refused where the reference reads", repr(strict)[:300]
    return ("refused" if bad or is_closed else "same"), ""


async def _received(stream: Stream, clients: Sequence[list[bytes]]) -> tuple[list[Row], list[bytes], bool]:
    """Return the rows of a source, its dead letters, and whether it closed a client."""
    address: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    rows, bad = TestSink(), TestSink()
    limits = TcpLimits(max_message_bytes=stream.most)
    source = Source.from_tcp(
        "0", format=stream.format, schema=stream.schema, clients=len(clients), limits=limits
    )
    pipeline = (
        Pipeline.builder()
        .source(source.on_listening(address.set_result))
        .on_error(ErrorHandler.dead_letter(bad))
        .sink(rows)
        .build()
    )
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        run = group.create_task(pipeline.run())
        for pieces in clients:
            group.create_task(_send(await address, pieces))
    closed = "what is no message" in (run.result().losses or "")
    frame = bad.frame() if bad.received() else pl.DataFrame({"value": []})
    return rows.frame().to_dicts(), frame["value"].to_list(), closed


async def _send(address: str, pieces: Sequence[bytes]) -> None:
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    with suppress(ConnectionError):
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        writer.write_eof()
        await reader.read()
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()
