"""The limit on the state of a step, and what happens beyond it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import polars as pl

from arrowstream.core.checks import check_whole
from arrowstream.core.hints import did_you_mean
from arrowstream.core.step_context import StepContext
from arrowstream.errors import PlanError
from arrowstream.state.memory import StateMemory

OnFull = Literal["error", "evict", "spill"]

_MOST_KEYS = 4_000_000_000  # slots are 32 bits in the table of keys
_TABLE_BYTES = 24
"""Bytes per key of the table of keys: 12 to 24, so the most is counted."""


@dataclass(frozen=True, slots=True)
class StateLimit:
    """A limit on a step's state: on keys, on bytes, or on both.

    Parameters
    ----------
    max_keys
        The most keys to hold; None for no limit.
    max_bytes
        The most bytes of memory that state takes, counted over arrays and frames; None for no limit.
    on_full
        What happens beyond the limit: ``"error"`` raises StageError, ``"evict"`` evicts the oldest keys, ``"spill"``
        moves state to files.

    Raises
    ------
    PlanError
        A limit is out of range, or `on_full` is unknown or does not fit the limits.

    Examples
    --------
    >>> StateLimit(max_keys=1_000).describe()
    ', max_keys=1,000, on_full=error'
    """

    max_keys: int | None = None
    max_bytes: int | None = None
    on_full: OnFull = "error"

    def __post_init__(self) -> None:
        if self.max_keys is not None:
            check_whole("max_keys", self.max_keys)
            if self.max_keys >= _MOST_KEYS:
                raise PlanError(
                    "max_keys is out of range", expected="1 to 4,000,000,000", found=str(self.max_keys)
                )
        if self.max_bytes is not None:
            check_whole("max_bytes", self.max_bytes)
        if self.on_full not in ("error", "evict", "spill"):
            raise PlanError(
                "unknown on_full",
                expected="'error', 'evict' or 'spill'",
                found=repr(self.on_full),
                hint=did_you_mean(str(self.on_full), get_args(OnFull)),
            )
        if self.on_full == "spill" and self.max_bytes is None and self.max_keys is None:
            raise PlanError(
                'on_full="spill" is for what is more than max_bytes',
                expected="max_bytes, the memory that state may take",
                found="no limit",
                hint="add max_bytes=512 << 20",
            )
        if self.on_full == "spill" and (self.max_bytes is None or self.max_keys is not None):
            raise PlanError(
                'on_full="spill" is for what is more than max_bytes',
                expected="max_bytes, and no max_keys",
                found=f"max_bytes={self.max_bytes}, max_keys={self.max_keys}",
                hint="leave max_keys out: files hold as many keys as the disk has room for",
            )

    def describe(self) -> str:
        """Return the arguments for `explain()`, each after a comma; an empty string without a limit."""
        named = {"max_keys": self.max_keys, "max_bytes": self.max_bytes}
        given = [f", {name}={most:,}" for name, most in named.items() if most is not None]
        return "".join([*given, f", on_full={self.on_full}"]) if given else ""

    @property
    def lasting(self) -> StateLimit:
        """What of the limit decides about rows: all of it if keys may be evicted, else nothing."""
        return self if self.evicts else NO_LIMIT

    @property
    def evicts(self) -> bool:
        """True if keys may be evicted."""
        return self.on_full == "evict" and (self.max_keys is not None or self.max_bytes is not None)

    @property
    def full_keys(self) -> Literal["error", "evict"]:
        """The `on_full` of a `KeyIndex` with this limit."""
        return "evict" if self.on_full == "evict" else "error"

    def memory(self, context: StepContext) -> StateMemory:
        """Return the step's memory with this limit on bytes, within the pipeline's budget."""
        max_bytes = None if self.on_full == "evict" else self.max_bytes
        return StateMemory(max_bytes, self.on_full == "spill", context.memory, context.id)

    def keys(self, step: str, columns: Callable[[], Mapping[str, pl.DataType]]) -> int | None:
        """Return the most keys to hold, or None for no limit.

        Where keys are evicted, the limit on bytes becomes a limit on keys, so that which keys are evicted does not
        depend on how the stream is cut into batches. That needs keys and state of a fixed size.

        Parameters
        ----------
        step
            Name of the operator, for errors.
        columns
            Returns names and types of the columns of keys and state; called only if it is needed.

        Raises
        ------
        PlanError
            A column's values have no fixed size.
        """
        if not self.evicts or self.max_bytes is None:
            return self.max_keys
        # The value, and one byte for whether it is null.
        each = _TABLE_BYTES + sum(_width(step, name, dtype) + 1 for name, dtype in columns().items())
        return max(1, min(self.max_keys or _MOST_KEYS - 1, self.max_bytes // each))


NO_LIMIT = StateLimit()


def _width(step: str, name: str, dtype: pl.DataType) -> int:
    """Return the bytes of a value of a type."""
    column = pl.Series(name, dtype=dtype)
    if dtype.base_type() in (pl.Categorical, pl.Enum):
        column = column.to_physical()
    try:
        bits: int = column.to_arrow().type.bit_width
        return -(-bits // 8)
    except ValueError:
        raise PlanError(
            f'{step}(max_bytes=..., on_full="evict") needs keys and state of a fixed size',
            expected="numbers, times, truth values",
            found=f"{name}: {dtype}",
            hint='say how many keys there may be with max_keys, or let state lie in files with on_full="spill"',
        ) from None
