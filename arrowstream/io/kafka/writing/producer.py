"""Opening and closing aiokafka's producers within a bounded time, with errors that say what is wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from itertools import chain
from typing import Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import InvalidTransactionTimeout, KafkaError, TransactionalIdAuthorizationFailed

from arrowstream.core.waiting import until_done
from arrowstream.errors import SinkError
from arrowstream.io.kafka.connection import STOP_SECONDS, hint, no_answer, reasons, start
from arrowstream.io.kafka.producing import TRANSACTION_SECONDS, Producing

TOPIC_SECONDS: Final = 5.0
"""Time within which the servers must know the partitions of a topic, or create it."""

MOST_RECORDS: Final = 2**31 - 1
"""Records of one producer after which aiokafka's sequence numbers of a partition could become negative."""


class ProducerLink:
    """The connection of a sink: a producer, replaced by a new one after failures that it cannot go on from.

    Parameters
    ----------
    producing
        Where to connect, and how.
    """

    def __init__(self, producing: Producing) -> None:
        self._producing = producing
        self._producer: Any = None
        self._records = 0

    async def producer(self, records: int) -> Any:
        """Return a started producer for as many records.

        Raises
        ------
        SinkError
            No server answers, or the login failed.
        """
        self._records += records
        if self._records > MOST_RECORDS:
            await self.drop()
            self._records = records
        if self._producer is None:
            self._producer = await open_producer(self._producing)
        return self._producer

    async def drop(self, *, flush: bool = True) -> None:
        """Close the producer; the next one has an id of its own.

        Parameters
        ----------
        flush
            Whether to wait a while for records that were not delivered yet.
        """
        producer, self._producer = self._producer, None
        self._records = 0
        if producer is not None:
            await close_producer(producer, flush=flush)

    async def partitions(self, topic: str) -> int:
        """Return the number of partitions of a topic.

        Raises
        ------
        SinkError
            There is no such topic, and the servers do not create it.
        """
        producer = await self.producer(0)
        try:
            async with asyncio.timeout(TOPIC_SECONDS):
                return len(await producer.partitions_for(topic))
        except (KafkaError, TimeoutError) as error:
            timed_out = isinstance(error, TimeoutError)
            raise SinkError(
                f"the topic {topic!r} cannot be written",
                expected=f"a topic of the servers at {self._producing.servers}",
                found=f"none of this name after {TOPIC_SECONDS:g} s" if timed_out else reason(error),
                hint="create the topic first, or let the servers create topics: auto.create.topics.enable",
            ) from error


async def open_producer(producing: Producing, transactional_id: str | None = None) -> Any:
    """Return a producer that is started; one for transactions has ended those of its id that were open.

    Raises
    ------
    SinkError
        No server answers, the login failed, or the servers have no such producers.
    """
    security: Mapping[str, Any] = (
        {"security_protocol": "PLAINTEXT"}
        if producing.security is None
        else producing.security.client_options()
    )
    producer = AIOKafkaProducer(
        bootstrap_servers=producing.servers, **producing.producer_options(transactional_id), **security
    )
    try:
        await start(producer, close_producer, producing.servers, security)
    except (KafkaError, OSError) as error:  # a timeout is an OSError
        wrong = await reasons(producing.servers, security)
        refused = producing.idempotent and not wrong
        form = "idempotent producers" if transactional_id is None else "transactions"
        raise SinkError(
            f"no Kafka server at {producing.servers} takes records",
            expected=f"a server that accepts {security['security_protocol']} connections"
            + (f" and {form}" if refused else ""),
            found=wrong or no_answer(error),
            hint=_hint(error, form) if refused else hint(wrong),
        ) from error
    return producer


def _hint(error: BaseException, form: str) -> str:
    """Return what to do about servers that refuse idempotent producers, or transactions."""
    if isinstance(error, InvalidTransactionTimeout):
        return f"the servers need transaction.max.timeout.ms={round(TRANSACTION_SECONDS * 1000)} or more"
    if isinstance(error, TransactionalIdAuthorizationFailed):
        return "the user needs the right to write with this transactional id"
    once = "" if form != "transactions" else ": then each row comes at least once"
    return f"idempotent=False, for servers without {form}{once}"


async def close_producer(producer: Any, *, flush: bool = True) -> None:
    """Send what waits and close all connections; drop both where that takes too long, or without `flush`.

    Raises
    ------
    CancelledError
        The caller was cancelled; raised only once the producer is closed, as nobody else knows of it.
    """
    closing = asyncio.ensure_future(_close(producer, flush=flush))
    await until_done([closing])
    closing.result()


async def _close(producer: Any, *, flush: bool) -> None:
    if flush and await _ended(producer.stop()):
        return
    producer._closed = True
    await _ended(producer.client.close())
    await _ended(producer._sender.close())
    accumulator = producer._message_accumulator
    for batch in [*accumulator._pending_batches, *chain(*accumulator._batches.values())]:
        batch.future.cancel()


async def _ended(work: Coroutine[Any, Any, None]) -> bool:
    """Await a call, whatever comes of it; return False if it takes too long."""
    task = asyncio.ensure_future(work)
    done, _ = await asyncio.wait({task}, timeout=STOP_SECONDS)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return bool(done)


def reason(error: BaseException) -> str:
    """Return what a server or aiokafka says, in one line."""
    text = str(error) or getattr(error, "description", "")
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
