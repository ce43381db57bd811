"""A checkpoint folder seen from outside while a run uses it."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from arrowstream.checkpoints import inspection
from arrowstream.checkpoints.folder import CheckpointFolder
from arrowstream.checkpoints.inspection import epochs

pytestmark = pytest.mark.once


def take(folder: CheckpointFolder) -> None:
    epoch = folder.begin()
    folder.save("window", epoch, iter([pa.record_batch({"x": [epoch]})]))
    folder.complete(epoch, {})
    folder.mark_committed(epoch)


@pytest.mark.parametrize("call", ["marker_of", "manifest_of", "check_state"])
@pytest.mark.parametrize("dropped", [1, 2])
def test_epochs_that_a_run_drops_during_a_check_are_left_out(
    tmp_path: Path, call: str, dropped: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run completes one or two epochs in the check of the newest one, and drops the older one, or both."""
    folder = CheckpointFolder(tmp_path, "job", ())
    for _ in range(2):
        take(folder)
    function, called = getattr(inspection, call), False

    def meanwhile(*arguments: Any) -> Any:
        nonlocal called
        if not called:
            called = True
            for _ in range(dropped):
                take(folder)
        return function(*arguments)

    monkeypatch.setattr(inspection, call, meanwhile)
    found = [(epoch.number, epoch.committed, epoch.damage) for epoch in epochs(tmp_path)]
    assert found == ([(2, True, None)] if dropped == 1 else [(3, True, None), (4, True, None)])
    folder.close()
