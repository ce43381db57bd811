"""What the servers know of earlier runs of a job, which wrote with another checkpoint folder."""

from __future__ import annotations

from typing import Any

from arrowstream.core.checkpoints.context import CheckpointContext
from arrowstream.core.checkpoints.earlier_output import earlier_epochs, is_same_job
from arrowstream.core.notes import ReaderNote
from arrowstream.io.kafka.writing.marker import group_names, stored_epochs


def epoch_group(job: str, sink: str) -> str:
    """Return the group among whose offsets the newest epoch of a sink is."""
    return f"{job}-{sink}-epoch"


async def earlier_runs(
    client: Any, checkpoint: CheckpointContext, sink: str, topic: str | None
) -> tuple[ReaderNote, ...]:
    """Return a note if topics have epochs of the same job with another checkpoint folder.

    The servers forget epochs when they forget the offsets of the group.

    Parameters
    ----------
    client
        A client of aiokafka that is connected.
    checkpoint
        The checkpoints of a run that begins.
    sink
        Id of the sink.
    topic
        The topic that it writes; None if its rows say it.

    Raises
    ------
    KafkaError
        The servers do not say it.
    """
    end = epoch_group("", sink)
    found: dict[str, int] = {}
    for group in await group_names(client):
        job = group.removesuffix(end)
        if job != group and is_same_job(job, checkpoint):
            epochs = await stored_epochs(client, group, stable=False)
            found[job] = max(epochs.values(), default=0) if topic is None else epochs.get(topic, 0)
    return earlier_epochs(found, checkpoint, "rows of any topic" if topic is None else f"the topic {topic}")
