"""What governs a step besides what it does: errors, time limits, and where late rows go."""

from __future__ import annotations

from dataclasses import dataclass, replace

import polars as pl

from arrowstream.core.duration import Duration, seconds
from arrowstream.errors import PlanError
from arrowstream.io.sink import SinkSpec
from arrowstream.policies.dead_letter import dead_letter_schema
from arrowstream.policies.handlers import DeadLetter, ErrorHandler, Retry, Skip, check_handlers


@dataclass(frozen=True, slots=True)
class Policies:
    """The policies of one step; none by default.

    Parameters
    ----------
    handlers
        What to do about failures, in order; without any, the first one ends the run.
    timeout_s
        Seconds the step may take for one batch, or None.
    skip_late_batches
        Whether a batch that takes longer is left out, and does not fail.
    late
        Where rows go that came too late for their window.
    """

    handlers: tuple[ErrorHandler, ...] = ()
    timeout_s: float | None = None
    skip_late_batches: bool = False
    late: SinkSpec | None = None

    def __post_init__(self) -> None:
        if self.late is not None and not isinstance(self.late, SinkSpec):
            raise PlanError(
                "window(late=...) needs a sink",
                expected="Sink.to_file(...), Sink.to_fn(...), ...",
                found=type(self.late).__name__,
                hint='write late=Sink.to_file("late/")',
            )

    @classmethod
    def time_limit(cls, duration: Duration, on_timeout: str) -> Policies:
        """The policies of `timeout()`."""
        limit = seconds(duration)
        if limit <= 0:
            raise PlanError("timeout() is too short", expected="more than 0 seconds", found=f"{limit:g} s")
        if on_timeout not in ("fail", "skip"):
            raise PlanError(
                "timeout() cannot go on like that",
                expected="on_timeout='fail' or on_timeout='skip'",
                found=repr(on_timeout),
            )
        return cls(timeout_s=limit, skip_late_batches=on_timeout == "skip")

    @property
    def alone(self) -> bool:
        """Whether the step must be a stage of its own."""
        return bool(self.handlers) or self.timeout_s is not None

    @property
    def repeats(self) -> bool:
        """Whether a batch may be tried again, in parts, or left out half-way."""
        return bool(self.handlers) or self.skip_late_batches

    @property
    def goes_on(self) -> bool:
        """Whether the run may go on after a batch that took too long."""
        return self.skip_late_batches or any(
            isinstance(handler, Retry | Skip | DeadLetter) for handler in self.handlers
        )

    def check(self, schema: pl.Schema) -> None:
        """Raise unless what rows of `schema` leave by takes them: late ones, and those that failed."""
        for aside in self.sinks:
            if aside.parts or aside.handlers:
                raise PlanError(
                    "rows that are put aside leave by one sink without handlers of its own",
                    expected='such as late=Sink.to_file("late/") or dead_letter(Sink.to_file("bad/"))',
                    found=aside.label if aside.parts else f"{aside.label} with on_error()",
                )
        if self.late is not None:
            self.late.check(schema)
        for handler in self.handlers:
            if isinstance(handler, DeadLetter):
                if not isinstance(handler.sink, SinkSpec):
                    raise PlanError(
                        "dead_letter() needs a sink",
                        expected='a sink, such as Sink.to_file("bad/")',
                        found=type(handler.sink).__name__,
                    )
                handler.sink.check(dead_letter_schema(schema))

    def overridden(self, own: Policies) -> Policies:
        """These with the handlers of `own`, if it has any."""
        return replace(self, handlers=own.handlers) if own.handlers else self

    @property
    def sinks(self) -> tuple[SinkSpec, ...]:
        """The sinks that rows may leave by."""
        dead = [handler.sink for handler in self.handlers if isinstance(handler, DeadLetter)]
        return tuple(sink for sink in (self.late, *dead) if isinstance(sink, SinkSpec))

    def then(self, call: str, step: str, added: Policies) -> Policies:
        """These and what `call` adds to them."""
        if added.timeout_s is not None:
            if self.timeout_s is not None:
                raise PlanError(f"{call}() twice for one step", stage=step)
            return replace(self, timeout_s=added.timeout_s, skip_late_batches=added.skip_late_batches)
        handlers = (*self.handlers, *added.handlers)
        check_handlers(handlers)
        return replace(self, handlers=handlers)
