"""`KafkaSource`: topics of a Kafka cluster as batches of messages."""

from __future__ import annotations

from dataclasses import dataclass, replace

import polars as pl

from arrowstream.core.messages import Decoder
from arrowstream.core.mistakes.explain import explain_names
from arrowstream.core.mistakes.other_names import SOURCE
from arrowstream.core.snapshot_store import SourcePosition
from arrowstream.core.step_context import StepContext
from arrowstream.io.kafka.extra import demand_extra, missing_extra
from arrowstream.io.kafka.subscription import Subscription
from arrowstream.io.source import Query, Reader, SourceSpec


@explain_names("a source", SOURCE)
@dataclass(frozen=True, slots=True)
class KafkaSource(SourceSpec):
    """Records of topics: one column for the values, and others on request.

    Parameters
    ----------
    subscription
        What is read, and how.
    decoder
        How values become rows in the step after the source; None to hand out the values as they are.
    """

    subscription: Subscription
    decoder: Decoder | None = None

    @property
    def label(self) -> str:
        asked = self.subscription
        group = "" if asked.group is None else f", group {asked.group}"
        end = " to the end" if asked.stop_at_end else ""
        return f"kafka {asked.topics} at {asked.servers} ({asked.start}{end}{group})"

    @property
    def read_once(self) -> bool:
        return self.subscription.group is not None

    @property
    def endless(self) -> bool:
        return not self.subscription.stop_at_end

    @property
    def identity(self) -> str:
        return f"kafka {self.subscription.topics.identity}"

    def schema(self) -> pl.Schema | None:
        demand_extra("reading from Kafka")
        return None if self.decoder is not None and self.decoder.schema is None else self.message_schema

    @property
    def message_schema(self) -> pl.Schema:
        return self.subscription.columns.schema

    @property
    def partitioned(self) -> bool:
        return True

    @property
    def resumable(self) -> bool:
        return True

    def with_checkpoints(self) -> KafkaSource:
        return replace(self, subscription=replace(self.subscription, checkpointed=True))

    @property
    def acknowledged(self) -> bool:
        """True if its readers want to know which rows the sinks have, to commit them for the group."""
        return self.subscription.group is not None

    def open(
        self, context: StepContext, query: Query | None = None, resume: SourcePosition | None = None
    ) -> Reader:
        try:
            from arrowstream.io.kafka.reading.reader import KafkaReader  # here: aiokafka is an extra
        except ImportError as error:
            raise missing_extra("reading from Kafka") from error
        return KafkaReader(self.subscription, context, resume)
