"""The policies of a step: error handlers, a time limit, and the sink of late rows."""

from __future__ import annotations

from dataclasses import dataclass, replace

import polars as pl

from arrowstream.core.duration import Duration, seconds
from arrowstream.core.hints import did_you_mean
from arrowstream.errors import PlanError
from arrowstream.io.sink import BoundSink, Fanout, SinkSpec
from arrowstream.policies.dead_letter import dead_letter_schema
from arrowstream.policies.handlers import DeadLetter, ErrorHandler, Retry, Skip, check_handlers


@dataclass(frozen=True, slots=True)
class Policies:
    """The policies of one step; none by default.

    Parameters
    ----------
    handlers
        Error handlers, in order; without any, the first failure ends the run.
    timeout_s
        Seconds the step may take for one batch, or None.
    skip_late_batches
        True if a batch that takes longer is skipped; it fails otherwise.
    late
        The sink of rows that came too late for their window.
    """

    handlers: tuple[ErrorHandler, ...] = ()
    timeout_s: float | None = None
    skip_late_batches: bool = False
    late: SinkSpec | None = None

    def __post_init__(self) -> None:
        if self.late is not None:
            late = _side_sink("window(late=...)", self.late, 'write late=Sink.to_file("late/")')
            object.__setattr__(self, "late", late)

    @classmethod
    def time_limit(cls, duration: Duration, on_timeout: str) -> Policies:
        """Return the policies of `timeout()`.

        Raises
        ------
        PlanError
            The limit is not above 0 s, or `on_timeout` is neither ``"fail"`` nor ``"skip"``.
        """
        limit = seconds(duration)
        if limit <= 0:
            raise PlanError("timeout() is too short", expected="more than 0 seconds", found=f"{limit:g} s")
        if on_timeout not in ("fail", "skip"):
            raise PlanError(
                "timeout() has another on_timeout",
                expected="on_timeout='fail' or on_timeout='skip'",
                found=repr(on_timeout),
                hint=did_you_mean(str(on_timeout), ("fail", "skip")),
            )
        return cls(timeout_s=limit, skip_late_batches=on_timeout == "skip")

    @property
    def own_stage(self) -> bool:
        """True if the step must be a stage by itself."""
        return bool(self.handlers) or self.timeout_s is not None

    @property
    def retries_batches(self) -> bool:
        """True if a batch may be tried again, as a whole or in parts, or be skipped during its processing."""
        return bool(self.handlers) or self.skip_late_batches

    @property
    def survives_timeout(self) -> bool:
        """True if the run may go on after a batch that took too long."""
        return self.skip_late_batches or any(
            isinstance(handler, Retry | Skip | DeadLetter) for handler in self.handlers
        )

    def check(self, schema: pl.Schema) -> None:
        """Raise unless the side outputs take late rows of `schema`, and dead letters of such rows."""
        if self.late is not None:
            self.late.check(schema)
        for handler in self.handlers:
            if isinstance(handler, DeadLetter):
                dead_letter_sink(handler).check(dead_letter_schema(schema))

    def overridden(self, handlers: tuple[ErrorHandler, ...]) -> Policies:
        """Return the policies with other handlers, if any are given."""
        return replace(self, handlers=handlers) if handlers else self

    @property
    def sinks(self) -> tuple[SinkSpec, ...]:
        """The sinks of late rows and dead letters."""
        dead = [handler.sink for handler in self.handlers if isinstance(handler, DeadLetter)]
        known = [sink.side_output for sink in dead if isinstance(sink, SinkSpec)]
        return (*([] if self.late is None else [self.late]), *known)

    def then(self, call: str, step: str, added: Policies) -> Policies:
        """Return the policies with those that `call` adds; raise PlanError if they contradict each other."""
        if added.timeout_s is not None:
            if self.timeout_s is not None:
                raise PlanError(f"{call}() twice for one step", stage=step)
            return replace(self, timeout_s=added.timeout_s, skip_late_batches=added.skip_late_batches)
        handlers = (*self.handlers, *added.handlers)
        check_handlers(handlers)
        return replace(self, handlers=handlers)


def dead_letter_sink(handler: DeadLetter) -> SinkSpec:
    """Return the sink of a handler, as it takes dead letters.

    Raises
    ------
    PlanError
        The handler was made with something else than a plain sink.
    """
    return _side_sink("dead_letter()", handler.sink, 'write dead_letter(Sink.to_file("bad/"))')


def _side_sink(call: str, sink: object, hint: str) -> SinkSpec:
    """Return the sink of a side output.

    Raises
    ------
    PlanError
        The value is not a plain sink.
    """
    if isinstance(sink, SinkSpec):
        return sink.side_output
    if isinstance(sink, BoundSink | Fanout):
        raise PlanError(
            f"{call} takes one sink without handlers",
            expected="a plain sink: Sink.to_file(...), Sink.to_fn(...), ...",
            found="a fan-out" if isinstance(sink, Fanout) else "a sink with on_error() or best_effort()",
            hint=hint,
        )
    raise PlanError(
        f"{call} needs a sink",
        expected="Sink.to_file(...), Sink.to_fn(...), ...",
        found=type(sink).__name__,
        hint=hint,
    )


NO_POLICIES = Policies()
"""The policies of a step for which the user set none."""
