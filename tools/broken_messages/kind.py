"""What a kind of messages is tried with, and what comes of it."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Protocol

from arrowstream.errors import BadMessage
from tools.broken_files.judges import Refused, Row, same

Say = Callable[[str], None]
"""Called with the name of each step of a trial."""


class Kind(Protocol):
    """A kind of messages: how they are made, and what two readers make of them."""

    def make(self, draw: random.Random) -> Sequence[bytes]:
        """Return messages that are decoded together, most of the time with a damaged one."""
        ...

    def found(self, messages: Sequence[bytes]) -> list[Row]:
        """Return the rows that arrowstream's decoder gives; raise BadMessage for the first bad message."""
        ...

    def wanted(self, message: bytes) -> list[Row]:
        """Return the rows that a strict reader gives for one message; raise Refused if it is bad."""
        ...


def verdict(kind: Kind, messages: Sequence[bytes], say: Say) -> tuple[str, str]:
    """Try messages; return what came of them in a word, and more about it."""
    say("arrowstream")
    found: list[Row] | None = None
    refusal: BadMessage | None = None
    try:
        found = kind.found(messages)
    except BadMessage as error:
        refusal = error
    except BaseException as error:
        return "untyped error", repr(error)
    say("reference")
    wanted: list[Row] = []
    for index, message in enumerate(messages):
        try:
            wanted += kind.wanted(message)
        except Refused as refused:
            if refusal is None:
                return "DIFFERENT", f"read as {found}, refused by the reference: {refused}"
            if refusal.index > index:
                return "DIFFERENT", f"refused at {refusal.index}, by the reference at {index}: {refused}"
            is_first = refusal.index == index
            return ("refused" if is_first else "refused where the reference reads"), str(refusal)[:300]
    if refusal is not None:
        return "refused where the reference reads", str(refusal)[:300]
    assert found is not None
    if len(found) != len(wanted) or not all(map(same, found, wanted)):
        return "DIFFERENT", f"read as {found}, by the reference as {wanted}"
    return "same", ""
