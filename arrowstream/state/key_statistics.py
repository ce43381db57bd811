"""The sizes of a key index, for tests and reports."""

from __future__ import annotations

from dataclasses import dataclass

from arrowstream.state.frame_log import LogStatistics


@dataclass(frozen=True, slots=True)
class KeyStatistics:
    """The sizes of a `KeyIndex`.

    Parameters
    ----------
    keys
        The number of keys.
    hash_places
        The number of places of the hash table; the minimum while keys are looked up directly.
    direct_places, direct_bytes
        The number of places of the array by key, and the bytes of one; None and 0 while keys are hashed.
    log
        The sizes of the log that holds the keys.
    """

    keys: int
    hash_places: int
    direct_places: int | None
    direct_bytes: int
    log: LogStatistics
