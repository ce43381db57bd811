"""The manifest of an epoch: everything that a restart needs, with a checksum of itself."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from arrowstream.checkpoints.pieces import State, StatePiece
from arrowstream.core.snapshot_store import JsonValue
from arrowstream.errors import CheckpointError

FORMAT = 4
"""The version of the format; raise it with every change that cannot read older manifests."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """One complete epoch.

    Parameters
    ----------
    epoch
        Number of the epoch, counted from 1 by all runs.
    attempt
        Number of the run that wrote it.
    job
        Name of the pipeline.
    pipeline
        The lines that describe the pipeline, without what may change between two runs.
    states
        The saved states by state id.
    handles
        What each sink has prepared, by the sink's name.
    finished
        Ids of the states of steps whose input had ended before this epoch.
    ended
        True if all streams had ended: the next run reads what is new, with new state.
    written
        Time of writing, in ISO format (UTC).
    in_full
        The lines of `pipeline` with absolute paths.
    """

    epoch: int
    attempt: int
    job: str
    pipeline: tuple[str, ...]
    states: Mapping[str, State] = field(default_factory=dict)
    handles: Mapping[str, Mapping[str, JsonValue]] = field(default_factory=dict)
    finished: tuple[str, ...] = ()
    ended: bool = False
    written: str = ""
    in_full: tuple[str, ...] = ()

    @property
    def nbytes(self) -> int:
        """Size of all states in bytes, those of pieces that an earlier epoch has written included."""
        return sum(state.nbytes for state in self.states.values())

    @property
    def pieces(self) -> set[str]:
        """The names of the files of all states."""
        return {name for state in self.states.values() for piece in state.pieces for name in piece.files}

    def encode(self) -> bytes:
        """Return the manifest as a line of JSON, and a line with its SHA-256."""
        body = json.dumps({"format": FORMAT, **asdict(self)}, sort_keys=True).encode()
        return body + b"\n" + hashlib.sha256(body).hexdigest().encode() + b"\n"

    @classmethod
    def decode(cls, content: bytes) -> Manifest:
        """Return the manifest in this content.

        Raises
        ------
        CheckpointError
            The content is damaged, or another version of arrowstream wrote it.
        """
        values: dict[str, Any] = json.loads(check_whole(content))
        version = values.pop("format")
        if version != FORMAT:
            raise CheckpointError(
                "another version of arrowstream wrote the checkpoint",
                expected=f"format {FORMAT}",
                found=f"format {version}",
                hint="use the version that wrote it, or start without it: from_checkpoint='ignore'",
            )
        states = {
            id: State(
                tuple(map(StatePiece.of, state["pieces"])),
                state["nbytes"],
                state["metadata"],
            )
            for id, state in values.pop("states").items()
        }
        values |= {name: tuple(values[name]) for name in ("pipeline", "in_full", "finished")}
        return cls(states=states, **values)


def check_whole(content: bytes) -> bytes:
    """Return the JSON in the content of a manifest, if its checksum holds.

    Raises
    ------
    CheckpointError
        The content is damaged.
    """
    body, _, rest = content.partition(b"\n")
    if rest.strip().decode("ascii", "replace") != hashlib.sha256(body).hexdigest():
        raise CheckpointError(
            "a manifest is damaged",
            expected="a line of JSON and its SHA-256",
            found=f"{len(content)} bytes",
        )
    return body
