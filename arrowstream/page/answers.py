"""What the live page asks for, as values that become JSON."""

from __future__ import annotations

from dataclasses import fields
from time import monotonic
from typing import Any, Final, Protocol

import polars as pl

from arrowstream.display.graph import svg
from arrowstream.runtime.background.snapshot import Snapshot, State

_SAMPLES: Final = 300
"""Largest number of samples of each stage that a page gets when it is opened."""

LOOKS: Final = 2.5
"""Seconds after its last question for the state for which a page counts as looked at."""

_LONGEST: Final = 300
"""Longest text of a value, in characters."""


class Viewed(Protocol):
    """A run that is looked at, from any thread."""

    @property
    def state(self) -> State:
        """What the run does."""

    def snapshot(self) -> Snapshot:
        """Return what a viewer shows at this moment."""

    def tail(self, stage: str, rows: int) -> pl.DataFrame:
        """Return the last rows that passed a stage."""

    def history(self) -> pl.DataFrame:
        """Return the figures of every stage over time."""

    def stop(self) -> None:
        """Stop the run gently."""


class Answers:
    """The answers about one run.

    Parameters
    ----------
    viewed
        The run.
    """

    def __init__(self, viewed: Viewed) -> None:
        self._viewed = viewed
        self._asked = float("-inf")
        self._answered = ""

    def state(self) -> dict[str, Any]:
        """Return the figures of this moment; of the graph only whether it is that of the stages that run."""
        now = self._viewed.snapshot()
        self._asked, self._answered = monotonic(), now.state
        shown = {each.name: getattr(now, each.name) for each in fields(now) if each.name != "outline"}
        return {**shown, "planned": now.outline.planned}

    @property
    def answered(self) -> bool:
        """True if every page that is open, which asks for the state each second, has the state of now."""
        return monotonic() - self._asked > LOOKS or self._answered == self._viewed.state

    def graph(self) -> dict[str, Any]:
        """Return the graph, as nodes and edges and as a drawing."""
        outline = self._viewed.snapshot().outline
        return {"outline": outline, "svg": svg(outline)}

    def history(self) -> dict[str, list[float]]:
        """Return the rows a second of each stage, oldest first."""
        rates = self._viewed.history().drop_nulls("rows_per_second").sort("time")
        return {
            str(stage): part["rows_per_second"].tail(_SAMPLES).to_list()
            for (stage,), part in rates.group_by("stage", maintain_order=True)
        }

    def tail(self, stage: str, rows: int) -> dict[str, Any] | None:
        """Return the last rows of a stage as texts, a sentence for the case that there are none, and fitted costs.

        None if neither the graph nor the run has a stage of this id.
        """
        now = self._viewed.snapshot()
        nodes = [node for node in now.outline.nodes if node.id == stage]
        costs = [cost for node in nodes for cost in node.costs]
        if now.stage(stage) is None:
            nothing = {"columns": [], "rows": [], "said": "nothing has run here so far", "costs": costs}
            return nothing if nodes else None
        frame = self._viewed.tail(stage, rows)
        ended = not is_going(now.state)
        return {
            "columns": [(name, str(dtype)) for name, dtype in frame.schema.items()],
            "rows": [[_text(value) for value in row] for row in frame.rows()],
            "said": "the run ended before its rows were looked at" if ended else "no rows have passed since",
            "costs": costs,
        }

    def stop(self) -> None:
        """Stop the run gently."""
        self._viewed.stop()


def is_going(state: str) -> bool:
    """Return True if a run with this state has not ended."""
    return state in ("running", "stopping")


def _text(value: object) -> str | None:
    """Return a value as it is shown; None for null."""
    if value is None:
        return None
    text = str(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
