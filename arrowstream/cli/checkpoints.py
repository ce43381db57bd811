"""``arrowstream checkpoints``: the epochs in a checkpoint folder, checked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from arrowstream.checkpoints.inspection import Epoch, epochs, remove_before
from arrowstream.cli import json_output
from arrowstream.cli.options import FAILED, AsJson, refusing
from arrowstream.cli.positions import described, readable
from arrowstream.core.plural import counted


def checkpoints(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="The checkpoint folder of a job.")],
    remove: Annotated[
        int | None,
        typer.Option(
            "--remove-before", min=1, help="Remove epochs before this one; the newest always stays."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the epochs in a checkpoint folder and check every file; exit code 1 if one is damaged."""
    with refusing():
        found = epochs(folder)
        removed = [] if remove is None else remove_before(folder, remove)
    found = [epoch for epoch in found if epoch.number not in removed]
    damaged = any(epoch.damage is not None for epoch in found)
    if as_json:
        typer.echo(
            json_output.line({"ok": not damaged, "removed": removed, "epochs": [*map(_values, found)]})
        )
    else:
        typer.echo("\n".join(_lines(found, removed)))
    if damaged:
        raise typer.Exit(FAILED)


def _values(epoch: Epoch) -> dict[str, Any]:
    manifest = epoch.manifest
    return {
        "epoch": epoch.number,
        "job": None if manifest is None else manifest.job,
        "attempt": None if manifest is None else manifest.attempt,
        "written": None if manifest is None else manifest.written,
        "ended": None if manifest is None else manifest.ended,
        "committed": epoch.committed,
        "state_bytes": None if manifest is None else manifest.nbytes,
        "positions": {id: readable(position) for id, position in epoch.positions.items()},
        "states": {}
        if manifest is None
        else {
            id: {"bytes": state.nbytes, "pieces": len(state.pieces), "key_shards": state.shards}
            for id, state in manifest.states.items()
        },
        "pipeline": None if manifest is None else list(manifest.pipeline),
        "damage": epoch.damage,
    }


def _lines(found: list[Epoch], removed: list[int]) -> Iterator[str]:
    if removed:
        yield f"removed {counted(len(removed), 'epochs')}: {', '.join(map(str, removed))}"
    if not found:
        yield "no complete epoch"
    for epoch in found:
        manifest = epoch.manifest
        if manifest is None:
            yield f"epoch {epoch.number}: DAMAGED"
        else:
            states = sum(bool(state.pieces) for state in manifest.states.values())
            kept = f"{counted(states, 'states')}, {manifest.nbytes:,} bytes"
            shown = "committed" if epoch.committed else "to be committed by the next run"
            ended = ", all streams had ended" if manifest.ended else ""
            run = f"{manifest.job}, run {manifest.attempt}, {manifest.written}"
            yield f"epoch {epoch.number}: {run}, {kept}, {shown}{ended}"
        if epoch.damage is not None:
            yield from (f"  {line}" for line in epoch.damage.splitlines())
        yield from (f"  {id} at {described(position)}" for id, position in epoch.positions.items())
        if manifest is not None:
            yield from (
                f"  {id}: {state.nbytes:,} bytes in {counted(len(state.shards), 'key shards')}"
                for id, state in manifest.states.items()
                if state.shards
            )
    newest = found[-1].manifest if found else None
    if newest is not None:
        yield "pipeline:"
        yield from (f"  {line}" for line in newest.pipeline)
