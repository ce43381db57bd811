"""How far apart the event times of partners may be."""

from __future__ import annotations

from dataclasses import dataclass

from arrowstream.core.duration import Duration, microseconds
from arrowstream.errors import PlanError


@dataclass(frozen=True, slots=True)
class Within:
    """How far apart two event times may be.

    Parameters
    ----------
    before_us, after_us
        How much earlier, and how much later, than its partner a row of the other stream may be, in microseconds.
    """

    before_us: int
    after_us: int

    @classmethod
    def of(cls, within: Duration | tuple[Duration, Duration]) -> Within:
        """Make it from a duration, or from one for each direction.

        Raises
        ------
        PlanError
            It is not a duration, or not two of them.
        """
        both = within if isinstance(within, tuple | list) else (within, within)
        if len(both) != 2:
            raise PlanError(
                "join(within=...) takes one duration or two",
                expected='such as "10s", or ("5s", "1m") for 5 s before to 1 min after',
                found=repr(within),
            )
        return cls(*map(microseconds, both))

    def describe(self) -> str:
        """Return the argument for `explain()`."""
        before, after = self.before_us / 1e6, self.after_us / 1e6
        if before == after:
            return f"within {before:.15g} s"
        return f"from {before:.15g} s before to {after:.15g} s after"
