"""How much state a step may hold, and what to do with more."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import polars as pl

from arrowstream.core.checks import check_whole
from arrowstream.core.step_context import StepContext
from arrowstream.errors import PlanError
from arrowstream.state.memory import StateMemory

OnFull = Literal["error", "evict", "spill"]

_MOST_KEYS = 4_000_000_000  # slots are 32 bits in the table of keys
_TABLE_BYTES = 24
"""What the table of keys takes for each, between 12 and 24 bytes."""


@dataclass(frozen=True, slots=True)
class StateLimit:
    """A limit on keys, on bytes, or on both.

    Parameters
    ----------
    max_keys
        The most keys to hold; None for no limit.
    max_bytes
        The most bytes of memory that state takes; None for no limit.
    on_full
        What to do with more: ``"error"``, ``"evict"`` the oldest keys, or ``"spill"`` to files.

    Raises
    ------
    PlanError
        A limit is out of range, or `on_full` is unknown or does not go with the limits.

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
                "unknown on_full", expected="'error', 'evict' or 'spill'", found=repr(self.on_full)
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
        """The arguments, each after a comma, as `explain()` shows them; nothing without a limit."""
        named = {"max_keys": self.max_keys, "max_bytes": self.max_bytes}
        given = [f", {name}={most:,}" for name, most in named.items() if most is not None]
        return "".join([*given, f", on_full={self.on_full}"]) if given else ""

    @property
    def evicts(self) -> bool:
        """Whether keys may have to go."""
        return self.on_full == "evict" and (self.max_keys is not None or self.max_bytes is not None)

    @property
    def full_keys(self) -> Literal["error", "evict"]:
        """What to do with one key more than there may be."""
        return "evict" if self.on_full == "evict" else "error"

    def memory(self, context: StepContext) -> StateMemory:
        """Memory with this limit on bytes, within the pipeline's budget."""
        max_bytes = None if self.on_full == "evict" else self.max_bytes
        return StateMemory(max_bytes, self.on_full == "spill", context.memory, context.id)

    def keys(self, step: str, columns: Callable[[], Mapping[str, pl.DataType]]) -> int | None:
        """The most keys to hold, each with its state in these columns.

        Where keys are evicted, a limit on bytes becomes one on keys. So which ones go does not depend on how the
        stream is cut; for that, all must be of one size.

        Raises
        ------
        PlanError
            They are not.
        """
        if not self.evicts or self.max_bytes is None:
            return self.max_keys
        # A value and whether there is one.
        each = _TABLE_BYTES + sum(_width(step, name, dtype) + 1 for name, dtype in columns().items())
        return max(1, min(self.max_keys or _MOST_KEYS - 1, self.max_bytes // each))


NO_LIMIT = StateLimit()


def _width(step: str, name: str, dtype: pl.DataType) -> int:
    """The bytes of a value."""
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
