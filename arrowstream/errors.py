"""Every error arrowstream raises, in one tree.

::

    ArrowstreamError
    ├── SchemaError           names or types do not fit                     (build, or first batch)
    ├── PlanError             the pipeline cannot be built as written       (build)
    │   └── NoSuchStep        a builder has nothing of this name            (also an AttributeError)
    ├── JobError              a TOML job is wrong: file, line, what to do   (command line)
    ├── SettingsError         a setting is wrong: where it stands, what was expected
    ├── MissingExtra          an optional library is not installed          (also an ImportError)
    ├── ChannelError
    │   ├── ChannelClosed     this end was closed by its own user
    │   └── PeerGone          the other end went away before the stream ended
    ├── RunInterrupted        a second SIGINT or SIGTERM ended the run: nothing is committed
    └── StageError            a stage failed while running; wraps the cause
        ├── SourceError       reading failed: where, which row, what was found
        ├── SinkError         writing failed: nothing is left under a final name
        ├── NoArray           map_zero_copy has no array of this name       (also a KeyError)
        ├── SnapshotError     state cannot be restored: another step or version wrote it
        └── StageTimeout      a batch took longer than its step may

The end of a stream is not an error: a receiver's iteration simply stops.
A message says what failed, where, what was expected, what was found, and what to do.
"""

from __future__ import annotations

from signal import Signals


class ArrowstreamError(Exception):
    """Base of all errors of this package.

    Parameters
    ----------
    what
        What failed, in one clause.
    stage
        Name of the stage it failed in, as `explain()` prints it.
    expected, found
        What was needed and what was there instead.
    hint
        What the reader can do about it.
    """

    def __init__(
        self,
        what: str,
        *,
        stage: str | None = None,
        expected: str | None = None,
        found: str | None = None,
        hint: str | None = None,
    ) -> None:
        self.what = what
        self.stage = stage
        self.expected = expected
        self.found = found
        self.hint = hint
        super().__init__(what)

    def __str__(self) -> str:
        lines = [f"{self.what} (stage {self.stage})" if self.stage else self.what]
        lines += [
            f"  {label}: {value}"
            for label, value in (("expected", self.expected), ("found", self.found), ("hint", self.hint))
            if value
        ]
        # Names of files that are not UTF-8 hold characters that no terminal or log takes.
        return "\n".join(lines).encode(errors="backslashreplace").decode()


class SchemaError(ArrowstreamError):
    """Column names or types do not fit, found at `build()` or at a source's first batch."""


class PlanError(ArrowstreamError):
    """The pipeline cannot be built as written."""


class NoSuchStep(PlanError, AttributeError):
    """A builder has no step or method of this name; the hint says how it is written here."""


class JobError(ArrowstreamError):
    """A TOML job cannot be read; the message starts with ``file:line``."""


class SettingsError(ArrowstreamError):
    """A setting is unknown or does not fit; the message starts with ``file:line``, or its variable."""


class MissingExtra(ArrowstreamError, ImportError):
    """An optional library is missing; the hint names the extra to install."""


class ChannelError(ArrowstreamError):
    """A channel cannot be used this way any more."""


class ChannelClosed(ChannelError):
    """This end was closed by its own user and used again."""


class PeerGone(ChannelError):
    """The other end went away before the stream was ended properly."""


class RunInterrupted(ArrowstreamError):
    """A second signal ended a run with ``signals=True`` at once; nothing of it is committed.

    Parameters
    ----------
    number
        The second signal, such as ``signal.SIGTERM``.
    """

    def __init__(self, number: Signals) -> None:
        self.number = number
        super().__init__(f"a second signal, {number.name}, ended the run: nothing is committed")


class StageError(ArrowstreamError):
    """A stage failed while the pipeline ran.

    Parameters
    ----------
    position
        Where in its source the failing batch came from, such as ``"flights.csv rows 100-200"``: counted from 0, up to
        and without the last. A row that cannot be read is told as ``"row 101 (line 102)"``, counted from 1.

    The original exception is ``__cause__``.
    """

    def __init__(
        self,
        what: str,
        *,
        stage: str | None = None,
        position: str | None = None,
        expected: str | None = None,
        found: str | None = None,
        hint: str | None = None,
    ) -> None:
        self.position = position
        super().__init__(what, stage=stage, expected=expected, found=found, hint=hint)

    def __str__(self) -> str:
        head, *rest = super().__str__().split("\n")
        return "\n".join([head, *([f"  position: {self.position}"] if self.position else []), *rest])


class SourceError(StageError):
    """Reading from a source failed; `position` names the file and row where that is known."""


class SinkError(StageError):
    """Writing to a sink failed; nothing half-written stays under a final name."""


class NoArray(StageError, KeyError):
    """A function of `map_zero_copy` asked for a column that has no array, or is not there."""


class SnapshotError(StageError):
    """A snapshot of state cannot be restored, as another kind of step or another version wrote it."""


class StageTimeout(StageError):
    """A step took longer for one batch than its time limit allows."""
