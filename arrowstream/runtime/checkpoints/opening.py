"""The checkpoint folder of a run: what can take part in checkpoints is checked before it is opened."""

from __future__ import annotations

import logging

from arrowstream.checkpoints.folder import CheckpointFolder
from arrowstream.checkpoints.layout import naming_folder
from arrowstream.errors import PlanError
from arrowstream.plan.guarantee import check_checkpoints
from arrowstream.plan.identity import identity
from arrowstream.runtime.checkpoints.options import CheckpointOptions
from arrowstream.runtime.options import Prepared

_log = logging.getLogger("arrowstream")


def open_folder(options: CheckpointOptions, prepared: Prepared) -> CheckpointFolder:
    """Open the folder for one run; the caller closes it.

    Raises
    ------
    PlanError
        A source cannot continue after a restart, its schema is not known, or what a sink writes cannot grow.
    CheckpointError
        Another run uses the folder; or it is damaged, of another pipeline, or no checkpoint folder.
    """
    if prepared.plan is None:
        raise PlanError(
            "checkpoints need the columns of the source before the run",
            stage="source",
            expected="a declared schema, the same in every run",
            found="a source whose first batch shows its columns",
            hint="pass schema=... to the source",
        )
    check_checkpoints(prepared.sources, prepared.sinks)
    lines, in_full = identity(prepared.plan), identity(prepared.plan, in_full=True)
    with naming_folder(options.path, at_start=True):
        folder = CheckpointFolder(options.path, prepared.name, lines, in_full, ignore=options.ignore)
    if options.ignore and folder.epoch:
        _log.warning(
            "pipeline %s starts from the beginning: what its sinks show of epochs up to %d stays, and comes again",
            prepared.name,
            folder.epoch,
        )
    for note in folder.notes:
        _log.warning("%s", note)
    return folder
