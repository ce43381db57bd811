"""Messages with every codec, and the offsets at which the server has them."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass
from itertools import cycle
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from servers.topics import producer

PARTITIONS: Final = 8
CODECS: Final = ("none", "gzip", "snappy", "lz4", "zstd")
CHUNK: Final = 5_000
"""Messages between two changes of the codec."""

POOL: Final = 16 * 1024 * 1024
"""Random bytes that messages take theirs from, in turn."""


@dataclass(frozen=True)
class Body:
    """What messages are made of, after their number.

    Parameters
    ----------
    size
        Bytes.
    random_bytes
        How many of them no codec makes smaller; the others are zeros.
    codecs
        Compressions of the messages.
    """

    size: int
    random_bytes: int = 0
    codecs: tuple[str, ...] = CODECS


SHORT: Final = Body(56)
"""Short messages with every codec."""


class Writer:
    """Writes numbered messages on a thread of its own, through one idempotent producer for each codec.

    Parameters
    ----------
    address
        Host and port of the server.
    topic
        A topic of `PARTITIONS` partitions.
    total
        Number of messages.
    per_second
        Messages written each second; None for as many as possible.
    body
        What the messages are made of.

    Attributes
    ----------
    acknowledged : int
        Number of messages that the server has.
    failure : BaseException or None
        Why the writer has ended early.
    """

    def __init__(
        self, address: str, topic: str, total: int, per_second: int | None = None, body: Body = SHORT
    ) -> None:
        options = {"enable_idempotence": True, "linger_ms": 20, "message_timeout_ms": 180_000}
        self._producers: list[Any] = [
            producer(address, compression_type=codec, **options) for codec in body.codecs
        ]
        self._topic = topic
        self._total = total
        self._per_second = per_second
        self._random_bytes = body.random_bytes
        self._zeros = bytes(body.size - body.random_bytes)
        self._pool = os.urandom(POOL)
        self._offsets: list[list[int]] = [[] for _ in range(PARTITIONS)]
        self._thread = threading.Thread(target=self.run, daemon=True)
        self.acknowledged = 0
        self.failure: BaseException | None = None

    def start(self) -> None:
        self._thread.start()

    @property
    def is_over(self) -> bool:
        return not self._thread.is_alive()

    def offsets(self) -> list[npt.NDArray[np.int64]]:
        """The offsets of each partition's messages, as the server acknowledged them, sorted."""
        return [np.sort(np.array(each, np.int64)) for each in self._offsets]

    def run(self) -> None:
        """Write all messages, and wait until the server has them."""
        begin = time.monotonic()
        try:
            for first, sender in zip(range(0, self._total, CHUNK), cycle(self._producers), strict=False):
                for number in range(first, min(first + CHUNK, self._total)):
                    self._write(sender, number)
                sender.poll(0)
                while (ahead := self._ahead(first, begin)) > 0:
                    sender.poll(ahead)
            for sender in self._producers:
                if sender.flush(180):
                    raise TimeoutError("the server does not acknowledge what was written")
        except BaseException as error:
            self.failure = error

    def _ahead(self, number: int, begin: float) -> float:
        """Return the seconds until a message is due."""
        return 0 if self._per_second is None else begin + number / self._per_second - time.monotonic()

    def _value(self, number: int) -> bytes:
        begin = number * self._random_bytes % (POOL - self._random_bytes)
        return b"%d" % number + self._pool[begin : begin + self._random_bytes] + self._zeros

    def _write(self, sender: Any, number: int) -> None:
        while True:
            try:
                sender.produce(
                    self._topic,
                    self._value(number),
                    partition=number % PARTITIONS,
                    on_delivery=self._delivered,
                )
                return
            except BufferError:  # the queue is full, as while the server is down
                sender.poll(0.1)

    def _delivered(self, error: object, message: Any) -> None:
        if error is not None:
            self.failure = RuntimeError(f"a message was not written: {error}")
        else:
            self._offsets[message.partition()].append(message.offset())
            self.acknowledged += 1
