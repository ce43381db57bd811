"""What a run with checkpoints guarantees, and which part of the pipeline decides it."""

from __future__ import annotations

from collections.abc import Iterable

from arrowstream.errors import PlanError
from arrowstream.io.sink import SinkSpec
from arrowstream.io.source import SourceSpec


def check_checkpoints(sources: Iterable[SourceSpec], sinks: Iterable[SinkSpec]) -> None:
    """Check that every source and sink can take part in checkpoints.

    Raises
    ------
    PlanError
        A source cannot continue after a restart, or what a sink writes cannot grow from epoch to epoch.
    """
    for source in sources:
        if not source.resumable:
            raise PlanError(
                "the source cannot continue after a restart, and rows would be lost",
                expected="a source that knows its position, such as files, Kafka, or a frame",
                found=source.label,
                hint="write its rows to a topic or files first, or run without checkpoint=",
            )
    for sink in sinks:
        sink.with_checkpoints()


def guarantees(sources: Iterable[SourceSpec], sinks: Iterable[SinkSpec]) -> tuple[str, ...]:
    """Return what runs with checkpoints that are killed and started again guarantee, for `explain()`.

    Returns
    -------
    tuple of str
        What becomes of each row; then a line for each sink that shows its rows in another way than without them.
    """
    sinks = list(sinks)
    try:
        check_checkpoints(sources, sinks)
    except PlanError as error:
        return (f"not possible: {error.found}: {error.what}",)
    again = dict.fromkeys(sink.label for sink in sinks if not sink.exactly_once)
    first = "exactly once"
    if again:
        first = (
            f"at least once: after a restart, rows since the last checkpoint come again to {', '.join(again)}"
        )
    shown = {sink.label: sink.with_checkpoints().guarantee for sink in sinks if sink.exactly_once}
    plain = {sink.label: sink.guarantee for sink in sinks}
    others = (
        f"{label}: {text.removeprefix(f'{first}: ')}" for label, text in shown.items() if text != plain[label]
    )
    return (first, *others)
