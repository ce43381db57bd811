"""How a Kafka producer connects and sends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

from arrowstream.io.kafka.records.compression import Codec
from arrowstream.io.kafka.security import KafkaSecurity

KafkaCompression = Literal["none", "gzip", "snappy", "lz4", "zstd"]
COMPRESSIONS = get_args(KafkaCompression)

_REQUEST_SECONDS = 30.0
_METADATA_MS = 60_000

TRANSACTION_SECONDS: Final = 900.0
"""Time after which servers end a transaction: the most that they allow by default. An epoch must take less."""


@dataclass(frozen=True, slots=True)
class Producing:
    """Where records go, and how.

    Parameters
    ----------
    servers
        Hosts and ports, separated by commas.
    codec, level
        Compression of record batches, and its level; None for the library's own.
    max_message_bytes
        Most bytes of a record batch.
    idempotent
        Whether a request that is repeated writes its records once.
    delivery_seconds
        Time without an answer of the servers after which records count as not delivered.
    security
        Encryption and login.
    client_id
        Name of the client in the servers' logs and quotas.
    """

    servers: str
    codec: Codec = Codec.LZ4
    level: int | None = None
    max_message_bytes: int = 1_000_000
    idempotent: bool = True
    delivery_seconds: float = 120.0
    security: KafkaSecurity | None = None
    client_id: str = "arrowstream"

    def producer_options(self, transactional_id: str | None = None) -> dict[str, Any]:
        """Return the options of aiokafka's producer, except servers and security."""
        # Without idempotence a batch is repeated until the time of one request is over.
        request = min(self.delivery_seconds, _REQUEST_SECONDS) if self.idempotent else self.delivery_seconds
        return {
            "client_id": self.client_id,
            "acks": "all",
            "enable_idempotence": self.idempotent,
            "request_timeout_ms": round(request * 1000),
            "metadata_max_age_ms": _METADATA_MS,
            "transactional_id": transactional_id,
            "transaction_timeout_ms": round(TRANSACTION_SECONDS * 1000),
        }
