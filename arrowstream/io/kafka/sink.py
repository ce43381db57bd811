"""`KafkaSink`: rows as the records of Kafka topics."""

from __future__ import annotations

from dataclasses import dataclass, replace

import polars as pl

from arrowstream.core.messages import Encoder
from arrowstream.core.mistakes.explain import explain_names
from arrowstream.core.mistakes.other_names import SINK
from arrowstream.core.step_context import StepContext
from arrowstream.io.kafka.extra import demand_extra, missing_extra
from arrowstream.io.kafka.message_columns import MessageColumns
from arrowstream.io.kafka.producing import Producing
from arrowstream.io.sink import JsonPart, SinkSpec
from arrowstream.io.writer import Writer


@explain_names("a sink", SINK)
@dataclass(frozen=True, slots=True)
class KafkaSink(SinkSpec):
    """Records of one topic, or of the topics that a column names.

    Parameters
    ----------
    producing
        Where records go, and how.
    topic
        The topic; None if a column has it.
    columns
        What becomes which part of a record.
    encoder
        How rows become values.
    epochs
        Whether records are shown epoch by epoch, as in runs with checkpoints.
    """

    producing: Producing
    topic: str | None
    columns: MessageColumns
    encoder: Encoder
    epochs: bool = False

    @property
    def label(self) -> str:
        where = self.topic if self.topic is not None else f"topics in {self.columns.topic!r}"
        codec = self.producing.codec.name.lower()
        form = self.encoder.label if codec == "none" else f"{self.encoder.label}, {codec}"
        return f"kafka {where} at {self.producing.servers} ({form})"

    @property
    def identity(self) -> str:
        where = self.topic if self.topic is not None else f"topics in {self.columns.topic!r}"
        return f"kafka {where} ({self.encoder.label})"

    @property
    def guarantee(self) -> str:
        if self.epochs:
            return "exactly once: an epoch is one transaction, for readers of committed ones"
        repeated = "write once" if self.producing.idempotent else "may write twice"
        return f"at least once: written when all in-sync replicas have it; repeated requests {repeated}"

    @property
    def exactly_once(self) -> bool:
        return self.producing.idempotent

    def with_checkpoints(self) -> KafkaSink:
        return replace(self, epochs=self.producing.idempotent)

    @property
    def shows_at_once(self) -> bool:
        return True

    def check(self, schema: pl.Schema) -> None:
        demand_extra("writing to Kafka")
        self.columns.check(schema)
        encoder = self.encoder if self.topic is None else self.encoder.for_topic(self.topic)
        encoder.check(self.columns.value_schema(schema))

    def json_part(self, schema: pl.Schema) -> JsonPart | None:
        return self.columns.values_of if self.encoder.is_json else None

    def open(self, schema: pl.Schema, context: StepContext) -> Writer:
        try:
            # here: aiokafka is an extra
            from arrowstream.io.kafka.writing.transactional import TransactionalWriter
            from arrowstream.io.kafka.writing.writer import KafkaWriter
        except ImportError as error:
            raise missing_extra("writing to Kafka") from error
        arguments = self.columns, self.topic, self.encoder, self.producing, schema, context
        if context.checkpoint is None or not self.producing.idempotent:
            return KafkaWriter(*arguments)
        return TransactionalWriter(*arguments, context.checkpoint)
