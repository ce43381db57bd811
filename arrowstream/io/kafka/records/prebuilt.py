"""Encoded batches in the form that aiokafka's producer sends."""

from __future__ import annotations

from arrowstream.io.kafka.records.encode import EncodedBatch


class PrebuiltBatch:
    """A batch for `AIOKafkaProducer.send_batch`, which calls these methods.

    Parameters
    ----------
    batch
        The batch.
    transactional
        Whether the producer has a transaction open.

    Notes
    -----
    The producer sets its state once, and asks for the bytes again for each retry, which has to send the same.
    """

    def __init__(self, batch: EncodedBatch, *, transactional: bool = False) -> None:
        self._batch = batch
        self._transactional = transactional
        self._state: tuple[int, ...] = ()
        self._built: bytes | None = None

    def _set_producer_state(self, producer_id: int, producer_epoch: int, base_sequence: int) -> None:
        self._state = (producer_id, producer_epoch, base_sequence)

    def _build(self) -> bytes:
        if self._built is None:
            self._built = self._batch.finish(*self._state, transactional=self._transactional)
        return self._built

    def record_count(self) -> int:
        """Return the number of records."""
        return self._batch.record_count

    def size(self) -> int:
        """Return the bytes of the batch."""
        return self._batch.size

    def closed(self) -> bool:
        """Return True: nothing can be appended."""
        return True

    def close(self) -> None:
        """Do nothing: the batch is closed."""

    def append(self, **record: object) -> None:
        """Return None, which says that the batch is full."""
        return None
