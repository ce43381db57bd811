"""Errors as values: what is left of one that was pickled or copied."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator
from signal import SIGTERM

import pytest

from arrowstream.errors import (
    ArrowstreamError,
    BadMessage,
    QueryError,
    RunInterrupted,
    StageError,
    UndeliveredRows,
)

OTHERS = [
    StageError(
        "failed", stage="map", position="rows 0-2", expected="a number", found="a text", hint="cast it"
    ),
    QueryError("no such column", line=2, column=7, hint="name another"),
    BadMessage("not JSON", index=3),
    UndeliveredRows("too long", parts=[(0, 2, "size")]),
    RunInterrupted(SIGTERM),
]
"""Errors of the classes that take more than a text."""


def kinds(kind: type[ArrowstreamError] = ArrowstreamError) -> Iterator[type[ArrowstreamError]]:
    """The class and those derived from it, in their module: others come and go with what is imported."""
    yield kind
    for each in kind.__subclasses__():
        if each.__module__ == ArrowstreamError.__module__:
            yield from kinds(each)


PLAIN = [kind("failed", hint="try again") for kind in kinds() if kind.__init__ is ArrowstreamError.__init__]


@pytest.mark.parametrize("error", [*PLAIN, *OTHERS], ids=lambda error: type(error).__name__)
def test_an_error_can_be_pickled_and_copied(error: ArrowstreamError) -> None:
    for other in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(other) is type(error) and str(other) == str(error)
        assert other.args == error.args and vars(other) == vars(error)


def test_every_class_of_errors_is_tried() -> None:
    own = {kind for kind in kinds() if "__init__" in vars(kind)} - {ArrowstreamError}
    assert own - {type(error) for error in OTHERS} == set()
