"""What a Kafka consumer reads, and how."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, Literal, get_args

from arrowstream.io.kafka.columns import SourceColumns
from arrowstream.io.kafka.security import KafkaSecurity
from arrowstream.io.kafka.start import Start
from arrowstream.io.kafka.topics import Topics

Isolation = Literal["read_committed", "read_uncommitted"]
ISOLATIONS = get_args(Isolation)

FETCH_BYTES: Final = 16 * 1024 * 1024
"""Bytes up to which one fetch answers, for all partitions together. One fetch waits for the pipeline as it came,
compressed or not, while the next one is on its way or waits too."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """What a consumer reads, from where to where, and how its connections behave.

    Parameters
    ----------
    servers
        Hosts and ports, separated by commas.
    topics
        The topics and partitions.
    group
        Name of the consumer group; None to read all partitions without one.
    start
        Where reading starts.
    stop_at_end
        Whether the stream ends at the offsets that are the last ones at its start.
    columns
        The columns of raw batches.
    isolation
        Whether records of aborted and open transactions are left out (``"read_committed"``).
    security
        Encryption and login.
    client_id
        Name of the client in the servers' logs and quotas.
    session_seconds
        Time without a heartbeat after which the group gives the partitions to others.
    discovery_seconds
        Time between two looks for new partitions.
    stuck_seconds
        Time without progress, while there are records to read, after which the run fails.
    max_decompressed_bytes
        Bytes up to which one compressed record batch may grow.
    checkpointed
        Whether checkpoints keep the position: the source reads all partitions itself, and what the group has
        committed counts for the very first run only.
    """

    servers: str
    topics: Topics
    group: str | None = None
    start: Start = field(default_factory=lambda: Start("earliest"))
    stop_at_end: bool = False
    columns: SourceColumns = field(default_factory=SourceColumns)
    isolation: Isolation = "read_committed"
    security: KafkaSecurity | None = None
    client_id: str = "arrowstream"
    session_seconds: float = 10.0
    discovery_seconds: float = 60.0
    stuck_seconds: float = 60.0
    max_decompressed_bytes: int = 64 * 1024 * 1024
    checkpointed: bool = False

    @property
    def is_subscribed(self) -> bool:
        """True if the group gives out the partitions, and not the source itself."""
        return self.group is not None and self.topics.numbers is None and not self.checkpointed

    @property
    def answer_seconds(self) -> float:
        """Time within which a server answers; joining a group may take a session."""
        return self.session_seconds + 5

    def consumer_options(self) -> dict[str, Any]:
        """Return the options of aiokafka's consumer, except servers and security."""
        return {
            "group_id": self.group,
            "client_id": self.client_id,
            "isolation_level": self.isolation,
            # Rows are acknowledged once they have reached the sinks, and a lost offset is an error.
            "enable_auto_commit": False,
            "auto_offset_reset": "none",
            "session_timeout_ms": round(self.session_seconds * 1000),
            # A member learns of a rebalance by its heartbeat; until then, partitions of one that left have no reader.
            "heartbeat_interval_ms": round(self.session_seconds * 1000 / 10),
            "request_timeout_ms": round(self.answer_seconds * 1000),
            "fetch_max_bytes": FETCH_BYTES,
            "metadata_max_age_ms": round(self.discovery_seconds * 1000),
        }
